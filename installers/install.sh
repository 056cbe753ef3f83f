#!/bin/sh
# Installs the Agent Anchor Gateway on this machine, or brings an installed one up to date.
# Everything stands in main(), called on the last line: a script cut short by a broken download does nothing.
set -eu

TARGET=/opt/agent-anchor
# What the product consists of; tests and their tools stay behind, the laboratory comes along for `demo`.
PARTS='package.json package-lock.json LICENSE README.md daemon firewall ca policies cli dashboard installers docs test/lab'

# One hash over every file of the product, so that an install which changes nothing copies nothing.
fingerprint() {
  (
    cd "$1"
    # shellcheck disable=SC2086 # the parts are words
    find $PARTS -type f ! -path '*/node_modules/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
  )
}

# Takes a staging that did not come to its end back, also one of an earlier run.
restore() {
  if [ -e "$TARGET.old" ] && [ ! -e "$TARGET" ]; then mv "$TARGET.old" "$TARGET"; fi
  rm -rf "$TARGET.new" "$TARGET.old"
}

# Copies the product and its pinned packages beside the installed tree, then swaps: the old one stays until the
# new one is whole.
stage() {
  source=$1
  wanted=$(fingerprint "$source")
  if [ -f "$TARGET/.fingerprint" ] && [ "$(cat "$TARGET/.fingerprint")" = "$wanted" ]; then
    echo "program     $TARGET is up to date"
    AGENT_ANCHOR_PROGRAM_CHANGED=0
    return
  fi
  echo "program     copying to $TARGET"
  # What fails or is interrupted leaves nothing but what was there before.
  trap 'restore' EXIT
  trap 'exit 1' HUP INT TERM
  restore
  mkdir -p "$TARGET.new"
  chmod 755 "$TARGET.new"
  # shellcheck disable=SC2086 # the parts are words
  (cd "$source" && tar --exclude=node_modules -cf "$TARGET.new/.parts.tar" $PARTS)
  tar --no-same-owner -xf "$TARGET.new/.parts.tar" -C "$TARGET.new"
  rm "$TARGET.new/.parts.tar"
  need_node "$TARGET.new"
  need_modules "$TARGET.new" prod
  need_pcap "$TARGET.new"
  need_pkcs11 "$TARGET.new"
  # The daemon's children run under accounts of their own and must be able to read the program.
  chmod -R u=rwX,go=rX "$TARGET.new"
  chown -R 0:0 "$TARGET.new"
  echo "$wanted" >"$TARGET.new/.fingerprint"
  if [ -e "$TARGET" ]; then mv "$TARGET" "$TARGET.old"; fi
  mv "$TARGET.new" "$TARGET"
  restore
  trap - EXIT HUP INT TERM
}

main() {
  here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
  # shellcheck source=installers/prepare.sh
  . "$here/prepare.sh"
  need_root "$here/install.sh" "$@"
  source=${here%/installers}
  umask 022
  need_packages
  # Told to the second half: an install that changes nothing restarts nothing.
  AGENT_ANCHOR_PROGRAM_CHANGED=1
  if [ "$source" = "$TARGET" ]; then AGENT_ANCHOR_PROGRAM_CHANGED=0; else stage "$source"; fi
  export AGENT_ANCHOR_PROGRAM_CHANGED
  node=$(node_of "$TARGET")
  exec "$node" --disable-warning=ExperimentalWarning "$TARGET/installers/install.ts" "$@"
}

main "$@"
