# shellcheck shell=sh
# The program's tree in TARGET: comparing, staging and swapping it; sourced by installers/install.sh after
# installers/prepare.sh.
#
# TARGET.new is a tree that isn't whole yet. TARGET.old is the one before, or an empty file where there was none, and
# stands exactly while the one in its place is unproven: whoever finds it, also after a crash, puts it back.

# What the product consists of; tests and their tools stay behind, the laboratory comes along for `demo`.
PROGRAM_PARTS='package.json package-lock.json LICENSE README.md daemon firewall ca policies cli dashboard installers docs test/lab'
# Of it, what the daemon runs. test/unit/installers-daemon-parts.test.ts holds it to what the daemon imports.
DAEMON_PARTS='package-lock.json daemon firewall ca policies cli/agent-anchor cli/commands/daemon.ts installers/runtime'

# program_fingerprint DIRECTORY PART…: one hash over the files of these parts.
program_fingerprint() {
  (
    cd "$1" 2>/dev/null || exit 0
    shift
    find "$@" -type f ! -path '*/node_modules/*' -print0 2>/dev/null | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
  )
}

# program_same SOURCE PARTS: whether the installed tree has the same files there.
program_same() {
  # shellcheck disable=SC2086 # the parts are words
  [ "$(program_fingerprint "$1" $2)" = "$(program_fingerprint "$TARGET" $2)" ]
}

# program_current SOURCE: whether installing it would change nothing. A bundle may bring what could not be built here.
program_current() {
  program_same "$1" "$PROGRAM_PARTS" &&
    { [ ! -f "$1/BUNDLE" ] || [ "$(program_built "$1")" = "$(program_built "$TARGET")" ]; }
}

# program_settle: ends a staging that did not come to its end, also one of an earlier run, as if it had not begun.
program_settle() {
  if [ -e "$TARGET.old" ]; then rm -rf "$TARGET"; fi
  if [ -d "$TARGET.old" ]; then mv "$TARGET.old" "$TARGET"; fi
  rm -rf "$TARGET.new" "$TARGET.old"
}

# program_stage SOURCE TREE: copies the product to TREE, with its pinned packages.
program_stage() {
  mkdir -p "$2"
  chmod 755 "$2"
  # A bundle has its packages with it; those of a clone may be anything.
  program_parts=$PROGRAM_PARTS
  program_less=node_modules
  if [ -f "$1/BUNDLE" ]; then
    program_parts="$PROGRAM_PARTS node_modules"
    program_less=BUNDLE
  fi
  # A pipe tells of its last command only: the first one's failure leaves a mark.
  # shellcheck disable=SC2086 # the parts are words
  { (cd "$1" && tar --exclude="$program_less" -cf - $program_parts) || : >"$2/.failed"; } |
    tar --no-same-owner -xf - -C "$2" || : >"$2/.failed"
  if [ -e "$2/.failed" ]; then
    prepare_fail "the program could not be copied to $2" "See tar's message above: it takes 400 MB."
  fi
  need_node "$2"
  need_modules "$2" prod
  need_pcap "$2"
  need_pkcs11 "$2"
  need_compiled "$2"
  # The daemon's children run under accounts of their own and must be able to read the program.
  chmod -R u=rwX,go=rX "$2"
  chown -R 0:0 "$2"
}

# program_built TREE: the packages of a tree that were built for this machine; what could not be is missing.
program_built() {
  (cd "$1" && find node_modules -path '*/build/Release/*.node' | LC_ALL=C sort)
}

# program_completed: builds what of the installed tree an earlier install could not; whether that made a difference.
program_completed() {
  program_before=$(program_built "$TARGET")
  need_pcap "$TARGET"
  need_pkcs11 "$TARGET"
  [ "$program_before" != "$(program_built "$TARGET")" ]
}

# program_swap: the staged tree takes the place of the installed one, which is put aside until this one is proven.
program_swap() {
  if [ -e "$TARGET" ]; then mv "$TARGET" "$TARGET.old"; else : >"$TARGET.old"; fi
  mv "$TARGET.new" "$TARGET"
}

# program_proven: the tree before this one goes.
program_proven() {
  rm -rf "$TARGET.old"
}
