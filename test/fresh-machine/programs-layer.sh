#!/bin/sh
# Makes DIRECTORY an overlay's layer over the root file system ROOT: what agents are written in, a cron and an SSH
# server, and what ROOT has downloaded for the installer; call.go and Call.java of SOURCES compiled to /opt/compiled.
# In a mount namespace of its own and in memory, as root-file-system.sh.
#
# usage: programs-layer.sh ROOT SOURCES DIRECTORY   (absolute; DIRECTORY's parent exists)
set -eu

# What the entries take.
wanted='cron openssh-server openssh-client'
# What is tried. libatomic1: of upstream's Node 26.
wanted="$wanted wget git python3-requests python3-httpx python3-aiohttp golang-go default-jdk-headless ruby php-cli"
wanted="$wanted libwww-perl liblwp-protocol-https-perl libio-socket-ssl-perl chromium libatomic1"

if [ "${4:-}" != inside ]; then exec unshare --mount --propagation private -- "$0" "$1" "$2" "$3" inside; fi

lower=$1
sources=$2
target=$3
if [ -e "$target" ]; then exit 0; fi
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
rm -rf "$target.new"
mkdir -p "$target.memory"
mount -t tmpfs -o size=4g,mode=755 fresh-machine "$target.memory"
root=$target.memory/root
mkdir "$root" "$target.memory/upper" "$target.memory/work"
mount -t overlay -o "lowerdir=$lower,upperdir=$target.memory/upper,workdir=$target.memory/work" programs "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
# Read by invoke-rc.d: nothing starts here.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cp "$root/etc/resolv.conf" "$target.memory/resolv.conf"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir "$root/tmp/sources" "$root/opt/compiled"
cp "$sources/call.go" "$sources/Call.java" "$root/tmp/sources"

echo "fresh machine: the programs of agents, over $(basename "$lower") (once; they are kept)" >&2
downloaded=$(cd "$lower" && printf '/%s ' var/cache/apt/archives/*.deb)
# shellcheck disable=SC2016 # the inner shell expands it
compile='
  set -e
  cd /tmp/sources
  CGO_ENABLED=0 GO111MODULE=off GOCACHE=/tmp/go HOME=/tmp go build -o /opt/compiled/call-go call.go
  javac -d /opt/compiled Call.java
  cat /usr/share/ca-certificates/mozilla/*.crt >/opt/compiled/mozilla.pem
'
# shellcheck disable=SC2086 # the names are words
if ! {
  chroot "$root" apt-get -qq update &&
    chroot "$root" apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
      $downloaded $wanted &&
    chroot "$root" sh -c "$compile"
} >"$target.log" 2>&1; then
  tail -n 20 "$target.log" >&2
  exit 1
fi
cp "$target.memory/resolv.conf" "$root/etc/resolv.conf"
rm "$root/usr/sbin/policy-rc.d"
umount "$root/tmp" "$root/dev" "$root/proc" "$root"
# What ROOT holds of these stays what it is.
rm -rf "$target.memory/upper/var/cache/apt" "$target.memory/upper/var/lib/apt/lists"

cp -a "$target.memory/upper" "$target.new"
umount "$target.memory"
rmdir "$target.memory"
mv "$target.new" "$target"
