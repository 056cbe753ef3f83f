# shellcheck shell=sh
# `install.sh --dry-run`: prints what an install would change, and changes nothing. In sh, since a machine without a
# gateway has no Node to run anything else; sourced after prepare.sh, program.sh and options.sh.

# dry_run_directory KEY DEFAULT: one of the configuration's directories.
dry_run_directory() {
  dry_run_found=
  if [ -r /etc/agent-anchor/gateway.yaml ]; then
    dry_run_found=$(sed -n "s/^$1: *['\"]\\{0,1\\}\\(\\/[^'\" #]*\\).*/\\1/p" /etc/agent-anchor/gateway.yaml | head -n 1)
  fi
  echo "${dry_run_found:-$2}"
}

# dry_run_packages: what the package manager would install, with what that needs in turn where it can tell.
dry_run_packages() {
  dry_run_wanted=$(
    # shellcheck disable=SC2086 # the names are words
    prepare_missing_of $PRODUCT_PACKAGES
    if [ -z "$option_offline" ] && [ ! -f "$source/BUNDLE" ] && ! program_current "$source"; then
      # As the staging would ask for them.
      prepare_missing_of npm g++ make python3 libpcap-dev
    fi
  )
  # shellcheck disable=SC2086 # one space between them
  dry_run_wanted=$(echo $dry_run_wanted)
  if [ -z "$dry_run_wanted" ]; then
    echo "packages    none are missing"
    return
  fi
  dry_run_with=$(prepare_manager)
  echo "packages    ${dry_run_with:-a package manager} would install $dry_run_wanted"
  if [ "$dry_run_with" = apt-get ]; then
    # shellcheck disable=SC2086 # the names are words
    dry_run_all=$(apt-get -s -o Dir::Log::Planner=/dev/null install --no-install-recommends $dry_run_wanted 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p' | tr '\n' ' ')
    if [ -n "$dry_run_all" ]; then
      echo "            with what these need, as far as apt-get knows now: ${dry_run_all% }" | fold -s -w 118 | sed '2,$s/^/            /'
    fi
  fi
}

dry_run_program() {
  if [ ! -e "$TARGET" ]; then
    echo "program     would be copied to $TARGET, with its Node and packages (300 MB)"
  elif program_current "$source"; then
    echo "program     $TARGET is up to date"
  elif program_same "$source" "$DAEMON_PARTS"; then
    echo "program     $TARGET would be replaced; what the daemon runs is the same, so it would not be restarted"
  else
    echo "program     $TARGET would be replaced, and the daemon restarted"
  fi
}

dry_run_options() {
  if [ -n "$option_policy" ]; then echo "config      would say policy: $option_policy (if nobody has edited it)"; fi
  if [ -n "$option_chain" ]; then
    echo "config      would name the chain $option_chain${option_rpc:+, at $option_rpc} (if nobody has edited it)"
  fi
}

# dry_run_change KIND WHERE WHAT
dry_run_change() {
  dry_run_is='would be made'
  case $1 in
    account) if getent passwd "$2" >/dev/null 2>&1; then dry_run_is='is there'; fi ;;
    table)
      # Only root may look; everybody else hears of all.
      # shellcheck disable=SC2086 # family and name are words
      if nft list table $2 >/dev/null 2>&1; then dry_run_is='is loaded'; else dry_run_is='would be loaded'; fi
      ;;
    store) dry_run_is='where they are found' ;;
    moment) dry_run_is='for the proof, for a moment' ;;
    *)
      if [ -e "$2" ] || [ -L "$2" ]; then
        dry_run_is='would be changed'
        # After an install most are as the next one wants them.
        if [ -e /etc/agent-anchor/install-manifest.json ]; then dry_run_is='is there, and changed only where it differs'; fi
      fi
      ;;
  esac
  printf '%-11s %s: %s (%s)\n' "$1" "$2" "$dry_run_is" "$3"
}

dry_run() {
  echo "Nothing is changed. An install would do this:"
  echo
  dry_run_packages
  dry_run_program
  dry_run_options
  dry_run_state=$(dry_run_directory stateDir /var/lib/agent-anchor)
  dry_run_run=$(dry_run_directory runtimeDir /run/agent-anchor)
  dry_run_log=$(dry_run_directory logDir /var/log/agent-anchor)
  sed "/^#/d; s|@STATE@|$dry_run_state|; s|@RUN@|$dry_run_run|; s|@LOG@|$dry_run_log|" "$source/installers/changes.txt" |
    while IFS='|' read -r dry_run_kind dry_run_where dry_run_if dry_run_what; do
      dry_run_kind=${dry_run_kind%% *}
      dry_run_where=$(echo "$dry_run_where" | sed 's/^ *//; s/ *$//')
      dry_run_if=$(echo "$dry_run_if" | sed 's/^ *//; s/ *$//')
      if [ "$dry_run_if" = - ] || [ -e "$dry_run_if" ]; then
        dry_run_change "$dry_run_kind" "$dry_run_where" "${dry_run_what# }"
      fi
    done
}
