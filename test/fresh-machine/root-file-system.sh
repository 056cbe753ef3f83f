#!/bin/sh
# Makes DIRECTORY the root file system of a minimal Debian with systemd, sudo and little else. What the installer will
# ask apt-get for lies in its cache as downloaded, not installed: the machine has no Debian mirror to reach later.
# Everything happens in a mount namespace of its own, in memory: dpkg syncs every file it writes.
#
# usage: root-file-system.sh SUITE DIRECTORY   (absolute; its parent exists)
set -eu

base=systemd,systemd-sysv,dbus,libpam-systemd,sudo
wanted='nftables iproute2 util-linux ca-certificates openssl curl npm g++ make python3 libpcap-dev'

if [ "${3:-}" != inside ]; then exec unshare --mount --propagation private -- "$0" "$1" "$2" inside; fi

suite=$1
target=$2
if [ -e "$target" ]; then exit 0; fi
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
rm -rf "$target.new"
mkdir -p "$target.new" "$target.memory"
mount -t tmpfs -o size=3g,mode=755 fresh-machine "$target.memory"
root=$target.memory/root

echo "fresh machine: debootstrap of $suite (once; it is kept)" >&2
if ! debootstrap --variant=minbase --include="$base" "$suite" "$root" >"$target.log" 2>&1; then
  tail -n 20 "$target.log" >&2
  exit 1
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# shellcheck disable=SC2086 # the names are words
if ! {
  chroot "$root" apt-get -qq update &&
    chroot "$root" apt-get -qq install -y --no-install-recommends --download-only $wanted
} >>"$target.log" 2>&1; then
  tail -n 20 "$target.log" >&2
  exit 1
fi
# Made at the first boot, as on an image that many machines start from.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
printf 'nameserver 203.0.113.53\n' >"$root/etc/resolv.conf"

cp -a "$root/." "$target.new"
umount "$target.memory"
rmdir "$target.memory"
mv "$target.new" "$target"
