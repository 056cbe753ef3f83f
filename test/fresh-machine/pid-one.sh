#!/bin/sh
# PID 1 of a fresh machine: lays its file system out as a container manager does (systemd.io/CONTAINER_INTERFACE)
# and becomes its systemd. Runs in new mount, pid, uts and ipc namespaces.
#
# usage: pid-one.sh DISK CGROUP   DISK holds upper, work, root, boot_id and layer-0 -> the root file system,
#                          layer-1 and so on -> what lies over it
set -eu
disk=$1
cgroup=$2

if [ "${3:-}" != inside ]; then
  # First into its cgroup, then make that the root of what it sees.
  echo 0 >"$cgroup/cgroup.procs"
  exec unshare --cgroup -- /bin/sh "$0" "$disk" "$cgroup" inside
fi

root=$disk/root
hostname fresh
layers=
for layer in "$disk"/layer-*; do layers=$layer${layers:+:$layers}; done
mount -t overlay -o "lowerdir=$layers,upperdir=$disk/upper,workdir=$disk/work" fresh "$root"

# All sysctls but the network's are the host's: read-only. So is what asks the kernel to do things to itself.
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,rw "$root/proc/sys/net"
if [ -e "$root/proc/sysrq-trigger" ]; then mount --bind /dev/null "$root/proc/sysrq-trigger"; fi
# The journal tells boots apart by this.
mount --bind "$disk/boot_id" "$root/proc/sys/kernel/random/boot_id"
# Read-only, which tells udev and its like to stay away.
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o nosuid,nodev,mode=755 run "$root/run"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmp "$root/tmp"

mount -t tmpfs -o nosuid,mode=755,size=4m dev "$root/dev"
device() { mknod -m 666 "$root/dev/$1" c "$2" "$3"; }
device null 1 3
device zero 1 5
device full 1 7
device random 1 8
device urandom 1 9
device tty 5 0
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$root/dev/pts"
mount -t tmpfs -o nosuid,nodev,mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

cd "$root"
pivot_root . .
umount -l .
# What services mount must reach those that share with them; systemd leaves this to the container manager.
mount --make-rshared /
# The clock, kernel modules and raw devices are the host's.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=fresh-machine \
  setpriv --inh-caps=-all --bounding-set=-sys_module,-sys_time,-sys_rawio,-mac_admin,-mac_override,-wake_alarm,-block_suspend \
  /lib/systemd/systemd
