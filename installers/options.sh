# shellcheck shell=sh
# The command line of installers/install.sh: options_parse sets one variable an option.

options_usage() {
  cat <<'END'
usage: install.sh [OPTION]…

Installs the Agent Anchor Gateway on this machine, or brings an installed one up to date. It may be repeated: what is
done already is left alone. It asks nothing. What fails, or is interrupted, is taken back.

  --policy NAME|FILE  the policy in force: observe, standard, strict, lockdown, or the file of one's own
  --chain NAME        where the log is anchored: a network that the gateway knows (docs/operating.md, Chains)
  --rpc URL           an endpoint of that chain; may be repeated
  --dry-run           print every change that an install would make, and make none; needs no root
  --offline BUNDLE    install from an archive that installers/bundle made, without npm and without network
  --yes, --unattended for scripts: they may stand here, though nothing is ever asked
  --help              print this

An existing configuration that somebody has edited is never changed: install.sh says what to write into it.
Exit codes: 0 installed, 1 failed and taken back, 2 wrong usage.
END
}

options_wrong() {
  echo "install.sh: $1" >&2
  echo "  install.sh --help lists the options." >&2
  exit 2
}

options_parse() {
  option_policy=
  option_chain=
  option_rpc=
  option_offline=
  option_dry_run=
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h)
        options_usage
        exit 0
        ;;
      --dry-run) option_dry_run=yes ;;
      --yes | -y | --unattended) ;;
      --policy | --chain | --rpc | --offline)
        case ${2:-} in
          '' | -*) options_wrong "$1 needs a value" ;;
        esac
        options_take "$1" "$2"
        shift
        ;;
      --policy=* | --chain=* | --rpc=* | --offline=*)
        if [ -z "${1#*=}" ]; then options_wrong "${1%%=*} needs a value"; fi
        options_take "${1%%=*}" "${1#*=}"
        ;;
      *) options_wrong "unknown option: $1" ;;
    esac
    shift
  done
  if [ -n "$option_rpc" ] && [ -z "$option_chain" ]; then options_wrong "--rpc belongs to --chain NAME"; fi
}

# A value is a name, a path or a URL: with white space in it, it could not be told from two.
options_take() {
  case $2 in
    *[[:space:]]*) options_wrong "$1 takes no white space: $2" ;;
  esac
  case $1 in
    --policy) option_policy=$2 ;;
    --chain) option_chain=$2 ;;
    --rpc) option_rpc="${option_rpc:+$option_rpc }$2" ;;
    --offline) option_offline=$2 ;;
  esac
}
