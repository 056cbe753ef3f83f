# shellcheck shell=sh
# What the installer and the tests need of a machine, sourced by both: root, the system's packages, the
# pinned Node and the pinned npm packages. Each function does nothing where its work is done already.

# Where root's tools live, also for a root shell that was started without them.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

prepare_fail() {
  echo "agent-anchor: $1" >&2
  echo "  $2" >&2
  exit 1
}

# need_root SCRIPT [ARGUMENT…]: runs the calling script again under sudo where it isn't root.
need_root() {
  if [ "$(id -u)" = 0 ]; then return; fi
  if ! command -v sudo >/dev/null 2>&1; then
    prepare_fail "this needs root, and there is no sudo here" "Run it again as root: su -c '$*'"
  fi
  exec sudo -- /bin/sh "$@"
}

# The program that tells whether a Debian package's work can be done, whatever the distribution.
prepare_program_of() {
  case $1 in
    nftables) echo nft ;;
    iproute2) echo ip ;;
    util-linux) echo nsenter ;;
    ca-certificates) echo update-ca-certificates ;;
    procps) echo ps ;;
    dropbear-bin) echo dropbear ;;
    openssh-client) echo ssh ;;
    libnss3-tools) echo certutil ;;
    libpcap-dev) echo pcap-config ;;
    python3) echo /usr/bin/python3 ;;
    golang-go) echo /usr/bin/go ;;
    softhsm2) echo softhsm2-util ;;
    opensc) echo pkcs11-tool ;;
    *) echo "$1" ;;
  esac
}

# prepare_has PACKAGE: a module of the system's Python is no program, and one of another Python would not do.
prepare_has() {
  case $1 in
    python3-*) [ -d "/usr/lib/python3/dist-packages/${1#python3-}" ] ;;
    *) command -v "$(prepare_program_of "$1")" >/dev/null 2>&1 ;;
  esac
}

# need_packages [PACKAGE…]: installs, with apt-get, what isn't there. Without arguments: what the product needs.
need_packages() {
  if [ $# -eq 0 ]; then set -- nftables iproute2 util-linux ca-certificates openssl curl; fi
  prepare_missing=
  for prepare_package in "$@"; do
    if ! prepare_has "$prepare_package"; then
      prepare_missing="$prepare_missing $prepare_package"
    fi
  done
  if [ -z "$prepare_missing" ]; then return; fi
  if ! command -v apt-get >/dev/null 2>&1; then
    prepare_fail "not installed:$prepare_missing" \
      "There is no apt-get here: install these with this system's own package manager and run it again."
  fi
  echo "packages    installing$prepare_missing" >&2
  # shellcheck disable=SC2086 # the names are words
  if ! {
    DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
      DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $prepare_missing
  } >/dev/null; then
    prepare_fail "apt-get could not install:$prepare_missing" "See its message above; it needs the network."
  fi
}

# node_of DIRECTORY: the path of the Node that the tree in DIRECTORY runs on.
node_of() {
  case $(uname -m) in
    x86_64 | amd64) prepare_arch=x64 ;;
    aarch64 | arm64) prepare_arch=arm64 ;;
    *) prepare_fail "no Node is pinned for $(uname -m)" "x86_64 and aarch64 are supported." ;;
  esac
  echo "$1/installers/runtime/node_modules/node-linux-$prepare_arch/bin/node"
}

# need_node DIRECTORY: the pinned Node of the tree in DIRECTORY, from npm with its integrity checked.
need_node() {
  prepare_node=$(node_of "$1") || exit 1
  if ! prepare_current "$1/installers/runtime" || [ ! -x "$prepare_node" ]; then
    prepare_npm "$1/installers/runtime" || exit 1
  fi
  # Each architecture's Node is an optional package, and npm passes over an optional one that it can't fetch.
  if [ ! -x "$prepare_node" ]; then
    rm -f "$1/installers/runtime/node_modules/.package-lock.json"
    prepare_fail "npm could not fetch Node: there is no $prepare_node" \
      "Is the npm registry reachable? 'npm view node-linux-$prepare_arch version' tells."
  fi
  if ! "$prepare_node" --version >/dev/null 2>&1; then
    prepare_fail "$prepare_node does not run here" \
      "It needs glibc 2.28 or later; on another C library (Alpine's musl) the gateway does not run yet."
  fi
}

# need_modules DIRECTORY dev|prod: the npm packages of the tree in DIRECTORY, as its lock file pins them.
need_modules() {
  case $2 in
    dev)
      if prepare_current "$1" && [ -d "$1/node_modules/tap" ]; then return; fi
      prepare_npm "$1" || exit 1
      ;;
    prod)
      if prepare_current "$1"; then return; fi
      prepare_npm "$1" --omit=dev || exit 1
      ;;
    *) prepare_fail "need_modules: dev or prod, not $2" "This is a mistake in the calling script." ;;
  esac
  prepare_lacking=$(cd "$1" && "$(node_of "$1")" -e "$prepare_lacking_script" "$2")
  if [ -n "$prepare_lacking" ]; then
    rm -f "$1/node_modules/.package-lock.json"
    prepare_fail "npm passed over $prepare_lacking" "Is the npm registry reachable? Run it again."
  fi
}

# Programs for this machine come as optional packages, which npm passes over in silence when it can't fetch them.
# shellcheck disable=SC2016 # the dollar signs are JavaScript's
prepare_lacking_script='
  const { packages } = JSON.parse(fs.readFileSync("package-lock.json", "utf8"))
  const fits = (allowed, mine) => allowed !== undefined && [allowed].flat().includes(mine)
  const lacking = Object.entries(packages).filter(([path, { optional, os, cpu, libc, dev }]) =>
    optional && fits(os, process.platform) && fits(cpu, process.arch) && (!libc || fits(libc, "glibc")) &&
    !(dev && process.argv[1] === "prod") && !fs.existsSync(path))
  console.log(lacking.map(([path]) => path).join(" "))
'

# prepare_current DIRECTORY: whether npm installed after the lock file last changed. npm writes the hidden lock
# file as the last thing of an install.
prepare_current() {
  [ -f "$1/node_modules/.package-lock.json" ] &&
    [ -z "$(find "$1/package-lock.json" -newer "$1/node_modules/.package-lock.json")" ]
}

# prepare_npm DIRECTORY [OPTION…]: exactly what the lock file says, without any package's scripts. Run by the pinned
# Node once it is there: npm leaves out optional packages that don't want the machine's older one.
prepare_npm() {
  need_packages npm
  prepare_directory=$1
  shift
  echo "npm         installing what $prepare_directory/package-lock.json pins" >&2
  if ! (cd "$prepare_directory" && PATH=${prepare_node:+${prepare_node%/node}:}$PATH NODE_NO_WARNINGS=1 && export NODE_NO_WARNINGS && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error "$@") >&2; then
    prepare_fail "npm ci failed in $prepare_directory" "See its message above; it needs the npm registry."
  fi
  touch "$prepare_directory/node_modules/.package-lock.json"
  prepare_give_back "$prepare_directory/node_modules"
}

# need_pcap DIRECTORY: the leak sensor's package. Without it refusals are counted, the sensor is blind, and `status`
# says so.
need_pcap() {
  prepare_native "$1" pcap pcap_binding "the leak sensor" "the leak sensor will be blind" libpcap-dev
}

# need_pkcs11 DIRECTORY: the vault's package for tokens. Without it the provider pkcs11 says that it isn't there.
need_pkcs11() {
  prepare_native "$1" pkcs11js pkcs11 "tokens (PKCS#11)" "the vault can't use tokens"
}

# prepare_native DIRECTORY PACKAGE BINDING PURPOSE LOSS [DEBIAN PACKAGE…]: builds a package that comes as C++ against
# the tree's own Node. That it can't be built ends nothing.
prepare_native() {
  prepare_addon=$2
  prepare_built=$1/node_modules/$2/build/Release/$3.node
  prepare_runtime=$(node_of "$1") || exit 1
  if [ -f "$prepare_built" ] && "$prepare_runtime" -e 'require(process.argv[1])' "$prepare_built" 2>/dev/null; then
    return
  fi
  prepare_purpose=$4
  prepare_loss=$5
  prepare_tree=$1
  shift 5
  echo "npm         building $prepare_addon for $prepare_purpose" >&2
  prepare_log=$(mktemp)
  # In a subshell: what is missing ends it, and not the installation.
  if (
    need_packages g++ make python3 npm "$@"
    cd "$prepare_tree" && PATH=${prepare_runtime%/node}:$PATH npm_config_nodedir=${prepare_runtime%/bin/node} \
      npm rebuild --no-ignore-scripts --foreground-scripts "$prepare_addon"
  ) >"$prepare_log" 2>&1 && "$prepare_runtime" -e 'require(process.argv[1])' "$prepare_built" 2>>"$prepare_log"; then
    rm -f "$prepare_log"
    # The compiler's intermediate files are nobody's concern.
    rm -rf "$prepare_tree/node_modules/$prepare_addon/build/Release/obj.target"
    prepare_give_back "$prepare_tree/node_modules"
    return
  fi
  tail -n 5 "$prepare_log" >&2
  rm -f "$prepare_log"
  echo "WARNING     $prepare_addon could not be built: $prepare_loss. It needs g++, make, python3${*:+, $*}" >&2
  echo "            and npm; run this again when they are there." >&2
}

# prepare_give_back PATH: to the owner of the directory that holds it, so that a clone which was tested under
# sudo stays its user's own.
prepare_give_back() {
  chown -R "$(stat -c %u:%g "$(dirname "$1")")" "$1"
}
