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

# need_root SCRIPT [ARGUMENT…]: runs the calling script again under sudo where it isn't root. What says how the
# networks are reached goes along, which sudo would leave behind.
need_root() {
  if [ "$(id -u)" = 0 ]; then return; fi
  if ! command -v sudo >/dev/null 2>&1; then
    prepare_fail "this needs root, and there is no sudo here" "Run it again as root: su -c '$*'"
  fi
  set -- /bin/sh "$@"
  for prepare_name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY NODE_EXTRA_CA_CERTS \
    npm_config_registry npm_config_cache npm_config_offline npm_config_userconfig; do
    eval "prepare_value=\${$prepare_name:-}"
    # npm's settings are those of who runs this, not root's.
    if [ "$prepare_name" = npm_config_userconfig ] && [ -f "${HOME:-}/.npmrc" ]; then
      prepare_value=${prepare_value:-$HOME/.npmrc}
    fi
    # shellcheck disable=SC2154 # prepare_value comes by eval
    if [ -n "$prepare_value" ]; then set -- "$prepare_name=$prepare_value" "$@"; fi
  done
  exec sudo -- env "$@"
}

# need_libc: the pinned Node is linked against glibc.
need_libc() {
  for prepare_loader in /lib/ld-musl-*; do
    if [ -e "$prepare_loader" ] && [ ! -e /lib64/ld-linux-x86-64.so.2 ] && [ ! -e /lib/ld-linux-aarch64.so.1 ]; then
      prepare_fail "this system's C library is musl, and the gateway's Node needs glibc 2.28 or later" \
        "The gateway does not run on Alpine yet; nothing was changed. Capture its traffic on a machine with glibc."
    fi
  done
}

# The program that tells whether a Debian package's work can be done, whatever the distribution.
prepare_program_of() {
  case $1 in
    nftables) echo nft ;;
    iproute2) echo ip ;;
    util-linux) echo nsenter ;;
    procps) echo ps ;;
    dropbear-bin) echo dropbear ;;
    openssh-client) echo ssh ;;
    libnss3-tools) echo certutil ;;
    libpcap-dev) echo pcap-config ;;
    python3) echo /usr/bin/python3 ;;
    golang-go) echo /usr/bin/go ;;
    softhsm2) echo softhsm2-util ;;
    opensc) echo pkcs11-tool ;;
    p11-kit) echo trust ;;
    default-jre-headless) echo keytool ;;
    man-db) echo man ;;
    *) echo "$1" ;;
  esac
}

# prepare_has PACKAGE: a module of the system's Python is no program, and one of another Python would not do.
prepare_has() {
  case $1 in
    python3-*) [ -d "/usr/lib/python3/dist-packages/${1#python3-}" ] ;;
    golang-golang-x-mod-dev) [ -d /usr/share/gocode/src/golang.org/x/mod ] ;;
    libpcap0.8) ldconfig -p 2>/dev/null | grep -q 'libpcap\.so\.\(0\.8\|1\)' ;;
    # Debian, Alpine and SUSE have the first, RHEL and Arch the second.
    ca-certificates) command -v update-ca-certificates >/dev/null 2>&1 || command -v update-ca-trust >/dev/null 2>&1 ;;
    *) command -v "$(prepare_program_of "$1")" >/dev/null 2>&1 ;;
  esac
}

# prepare_manager: this system's package manager, or nothing.
prepare_manager() {
  for prepare_name in apt-get dnf zypper pacman apk; do
    if command -v "$prepare_name" >/dev/null 2>&1; then
      echo "$prepare_name"
      return
    fi
  done
}

# prepare_package_for MANAGER PACKAGE: what a Debian package is called there.
prepare_package_for() {
  case $1:$2 in
    dnf:iproute2) echo iproute ;;
    dnf:g++ | zypper:g++) echo gcc-c++ ;;
    dnf:libpcap-dev | zypper:libpcap-dev) echo libpcap-devel ;;
    zypper:npm) echo npm-default ;;
    zypper:libpcap0.8) echo libpcap1 ;;
    dnf:libpcap0.8 | pacman:libpcap0.8 | apk:libpcap0.8) echo libpcap ;;
    pacman:g++) echo gcc ;;
    pacman:python3) echo python ;;
    pacman:libpcap-dev) echo libpcap ;;
    *) echo "$2" ;;
  esac
}

# prepare_install MANAGER PACKAGE…: asks nothing, installs, and says only what goes wrong.
prepare_install() {
  prepare_with=$1
  shift
  case $prepare_with in
    apt-get)
      DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
      ;;
    dnf) dnf --quiet --assumeyes --setopt=install_weak_deps=False install "$@" ;;
    zypper) zypper --quiet --non-interactive install --no-recommends "$@" ;;
    # Never --sync --refresh alone: Arch supports whole upgrades only, so what is known is what is installed.
    pacman) pacman --sync --needed --noconfirm --quiet "$@" ;;
    apk) apk add --quiet --no-progress "$@" ;;
  esac >/dev/null
}

# prepare_missing_of PACKAGE…: those that aren't there, by the names that this system's package manager has for them.
prepare_missing_of() {
  prepare_missing=
  prepare_with=$(prepare_manager)
  for prepare_package in "$@"; do
    if ! prepare_has "$prepare_package"; then
      prepare_missing="$prepare_missing $(prepare_package_for "$prepare_with" "$prepare_package")"
    fi
  done
  echo "${prepare_missing# }"
}

# What the product needs of any system; npm and what builds its native packages are asked for where they are used.
PRODUCT_PACKAGES='nftables iproute2 util-linux ca-certificates openssl curl'

# need_packages [PACKAGE…]: installs what isn't there. Without arguments: what the product needs.
need_packages() {
  # shellcheck disable=SC2086 # the names are words
  if [ $# -eq 0 ]; then set -- $PRODUCT_PACKAGES; fi
  prepare_missing=$(prepare_missing_of "$@")
  if [ -z "$prepare_missing" ]; then return; fi
  if [ -n "${PREPARE_OFFLINE:-}" ]; then
    offline_packages "$prepare_missing"
    return
  fi
  prepare_with=$(prepare_manager)
  if [ -z "$prepare_with" ]; then
    prepare_fail "not installed: $prepare_missing" \
      "No package manager known here (apt-get, dnf, zypper, pacman, apk): install them and run this again."
  fi
  echo "packages    installing $prepare_missing" >&2
  # shellcheck disable=SC2086 # the names are words
  if ! prepare_install "$prepare_with" $prepare_missing; then
    prepare_fail "$prepare_with could not install: $prepare_missing" "See its message above; it needs the network."
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
  # Where it was built elsewhere, for a bundle, its library is still wanted; one that was built here brought it.
  if [ -f "$1/node_modules/pcap/build/Release/pcap_binding.node" ]; then
    # In a subshell, which ends where it can't be had, with what to do. It ends no installation: what is built is tried
    # next, and whether the sensor sees is told there.
    (need_packages libpcap0.8) || true
  fi
  prepare_native "$1" pcap pcap_binding "the leak sensor" "the leak sensor will be blind" libpcap-dev
}

# need_pkcs11 DIRECTORY: the vault's package for tokens. Without it the provider pkcs11 says that it isn't there.
need_pkcs11() {
  prepare_native "$1" pkcs11js pkcs11 "tokens (PKCS#11)" "the vault can't use tokens"
}

# need_compiled DIRECTORY: the program of that tree compiled ahead, for wherever the tree is moved to.
need_compiled() {
  rm -rf "$1/.compile-cache"
  mkdir "$1/.compile-cache"
  prepare_runtime=$(node_of "$1") || exit 1
  prepare_ahead() {
    env -i PATH="$PATH" LANG=C.UTF-8 \
      NODE_COMPILE_CACHE="$prepare_tree/.compile-cache" NODE_COMPILE_CACHE_PORTABLE=1 "$@" >/dev/null 2>&1 ||
      prepare_fail "the program does not run: $*" "Run that command and see what it says."
  }
  prepare_tree=$1
  # What a process runs as its first file can't be imported without running it: this one as the command itself.
  prepare_ahead "$1/cli/agent-anchor" --version
  prepare_ahead "$prepare_runtime" "$1/installers/compile.ts"
  # Node keeps what it writes to the user that ran it.
  chmod -R go=rX "$1/.compile-cache"
}

# prepare_native DIRECTORY PACKAGE BINDING PURPOSE LOSS [DEBIAN PACKAGE…]: builds a package that comes as C++ against
# the tree's own Node. That it can't be built ends nothing. Debian's node-gyp links whatever it builds with Debian's
# libnode, and a second V8 in the process corrupts its memory: an empty library of that name is found before it.
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
    prepare_empty=$(mktemp -d)
    trap 'rm -rf "$prepare_empty"' EXIT
    ar rcs "$prepare_empty/libnode.a"
    cd "$prepare_tree" && PATH=${prepare_runtime%/node}:$PATH npm_config_nodedir=${prepare_runtime%/bin/node} \
      LDFLAGS=-L$prepare_empty npm rebuild --no-ignore-scripts --foreground-scripts "$prepare_addon"
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
