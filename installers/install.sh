#!/bin/sh
# Installs the Agent Anchor Gateway on this machine, or brings an installed one up to date.
# Everything stands in main(), called on the last line: a script cut short by a broken download does nothing.
set -eu

TARGET=/opt/agent-anchor

main() {
  here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
  for room in prepare program options dry-run offline; do
    # shellcheck source=/dev/null
    . "$here/$room.sh"
  done
  source=${here%/installers}
  options_parse "$@"
  need_libc
  if [ -n "$option_dry_run" ]; then
    dry_run
    return
  fi
  need_root "$here/install.sh" "$@"
  umask 022
  # What fails or is interrupted leaves nothing but what was there before.
  trap install_end EXIT
  trap 'exit 1' HUP INT TERM
  program_settle
  if [ -n "$option_offline" ]; then offline_open "$option_offline"; fi
  offline_check
  need_packages
  # An install that changes nothing of what the daemon runs restarts nothing.
  set -- --same-program
  if [ "$source" = "$TARGET" ]; then
    echo "program     is in its place"
    set -- --same-program --in-place
  elif program_current "$source"; then
    echo "program     $TARGET is up to date"
    # What could not be built the last time may be now: the daemon has to take it up.
    if program_completed; then set --; fi
  else
    if ! program_same "$source" "$DAEMON_PARTS"; then set --; fi
    echo "program     copying to $TARGET"
    program_stage "$source" "$TARGET.new"
    if [ -e "$TARGET" ] && [ "$(program_built "$TARGET")" != "$(program_built "$TARGET.new")" ]; then set --; fi
    program_swap
  fi
  if [ -n "$option_policy" ]; then set -- "$@" --policy "$option_policy"; fi
  if [ -n "$option_chain" ]; then set -- "$@" --chain "$option_chain"; fi
  for url in $option_rpc; do set -- "$@" --rpc "$url"; done
  node=$(node_of "$TARGET")
  # From here on it is the second half that hears of an interruption, and takes everything back.
  trap '' HUP INT TERM
  "$node" --disable-warning=ExperimentalWarning "$TARGET/installers/install.ts" "$@"
  program_proven
}

install_end() {
  program_settle
  offline_close
}

main "$@"
