#!/bin/sh
# Installs the Agent Anchor Gateway on this machine, or brings an installed one up to date.
# Everything stands in main(), called on the last line: a script cut short by a broken download does nothing.
set -eu

TARGET=/opt/agent-anchor

main() {
  here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
  # shellcheck source=installers/prepare.sh
  . "$here/prepare.sh"
  # shellcheck source=installers/program.sh
  . "$here/program.sh"
  need_root "$here/install.sh" "$@"
  source=${here%/installers}
  umask 022
  need_packages
  # What fails or is interrupted leaves nothing but what was there before.
  trap program_settle EXIT
  trap 'exit 1' HUP INT TERM
  program_settle
  # An install that changes nothing of what the daemon runs restarts nothing.
  set -- "$@" --same-program
  if [ "$source" = "$TARGET" ] || program_same "$source" "$PROGRAM_PARTS"; then
    echo "program     $TARGET is up to date"
  else
    if ! program_same "$source" "$DAEMON_PARTS"; then set --; fi
    program_stage "$source"
    program_swap
  fi
  node=$(node_of "$TARGET")
  # From here on it is the second half that hears of an interruption, and takes everything back.
  trap '' HUP INT TERM
  "$node" --disable-warning=ExperimentalWarning "$TARGET/installers/install.ts" "$@"
  program_proven
}

main "$@"
