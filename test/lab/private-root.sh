#!/bin/sh
# PID 1 of the laboratory: lays a private file system over the machine's, in a mount namespace of its
# own, runs one script in it and reaps what that leaves behind. Nothing here writes to the machine:
# every place that is written to is a mount in memory first.
#
# usage: private-root.sh REPOSITORY NODE STATE-DIRECTORY|'' SCRIPT [ARGUMENT…]   (SCRIPT below REPOSITORY)
set -eu

laboratory=/run/laboratory
repository=$1
node=$2
state=$3
script=$4
shift 4

case $repository/ in
  /run/*)
    echo "laboratory: $repository lies below /run, which the laboratory covers; move it elsewhere" >&2
    exit 1
    ;;
esac

# memory DIRECTORY MODE: an empty directory in memory over DIRECTORY.
memory() {
  mount -t tmpfs -o "mode=$2" laboratory "$1"
}

# shadow DIRECTORY: the same, with links to the machine's own entries, which can be read only.
shadow() {
  mkdir -p "$laboratory/machine$1"
  mount --bind "$1" "$laboratory/machine$1"
  mount -o remount,bind,ro "$laboratory/machine$1"
  memory "$1" 0755
  for entry in "$laboratory/machine$1"/*; do
    if [ -e "$entry" ]; then
      set -- "$@" "$entry"
    fi
  done
  directory=$1
  shift
  if [ $# -gt 0 ]; then ln -s "$@" "$directory/"; fi
}

# What lives in places that are about to be covered is taken along first.
state_held=
memory /run 0755
mkdir -p "$laboratory/repository" "$laboratory/bin" "$laboratory/state" /run/lock /run/netns
mount --rbind "$repository" "$laboratory/repository"
mount -o remount,bind,ro "$laboratory/repository"
: > "$laboratory/bin/node"
mount --bind "$node" "$laboratory/bin/node"
if [ -n "$state" ]; then
  mount --bind "$state" "$laboratory/state"
  state_held=1
fi

# A private /etc: names, users, trust, login environment. What an installed gateway put there stays out.
cp -a /etc "$laboratory/etc"
mount --bind "$laboratory/etc" /etc
# The trust store's hook for Java calls dpkg-trigger, which writes to the machine's package database.
rm -f /etc/ca-certificates/update.d/jks-keystore
rm -rf /etc/agent-anchor /etc/resolv.conf /etc/profile.d/*agent-anchor* /etc/environment.d/*agent-anchor*
: > /etc/environment
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > /etc/hosts
printf 'nameserver 203.0.113.53\noptions timeout:2 attempts:2\n' > /etc/resolv.conf
sed -i 's/^hosts:.*/hosts: files dns/' /etc/nsswitch.conf

# The machine's own certificates of /usr/local stay in the bundle until it is next regenerated.
shadow /usr/local/share
# An install writes into these; a bare Debian has two of them.
(cd /usr/local/share && rm -f ca-certificates man zsh bash-completion && mkdir ca-certificates man)
memory /usr/local/bin 0755
shadow /opt
rm -f /opt/agent-anchor
shadow /var/lib
rm -f /var/lib/agent-anchor
memory /var/log 0755
memory /home 0755
memory /root 0700
memory /tmp 1777
memory /var/tmp 1777
if [ -n "$state_held" ]; then
  mkdir /var/lib/agent-anchor
  mount --bind "$laboratory/state" /var/lib/agent-anchor
fi

# cgroup2 where a rule's `socket cgroupv2` looks for it, also on a machine that mounts both versions.
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# add_user NAME ID HOME SHELL: in front, so that it wins over a user of the machine with the same id.
add_user() {
  if grep -q "^$1:" /etc/passwd; then return; fi
  sed -i "1i $1:x:$2:$2::$3:$4" /etc/passwd
  sed -i "1i $1:x:$2:" /etc/group
  if [ "$3" != /nonexistent ]; then
    mkdir "$3"
    chmod 0700 "$3"
    chown "$2:$2" "$3"
  fi
}
add_user agent1 4001 /home/agent1 /bin/sh
add_user agent2 4002 /home/agent2 /bin/sh
add_user agent-anchor 4101 /nonexistent /usr/sbin/nologin
add_user agent-anchor-proxy 4102 /nonexistent /usr/sbin/nologin
add_user agent-anchor-sensor 4103 /nonexistent /usr/sbin/nologin

# What was compiled ahead, for these accounts as well, as the installer links it (installers/compile-cache.ts).
compiled=$laboratory/repository/.compile-cache
if [ -d "$compiled" ]; then
  mkdir "$laboratory/compiled"
  mount --bind "$compiled" "$laboratory/compiled"
  memory "$compiled" 0755
  for of_root in "$laboratory"/compiled/*-0; do
    name=$(basename "$of_root")
    for uid in 0 4101 4102 4103; do ln -s "$of_root" "$compiled/${name%0}$uid"; done
  done
fi

: > "$laboratory/entered"
cd "$laboratory/repository"

# The shell stays as PID 1: while it waits for the one child it reaps every orphan as well, which Node
# does not do. A background job would read /dev/null, hence the detour of stdin over descriptor 3.
exec 3<&0
"$laboratory/bin/node" "$laboratory/repository/$script" "$@" <&3 3<&- &
exec 3<&- </dev/null
code=0
wait "$!" || code=$?
exit "$code"
