#!/bin/sh
# Makes FILE an archive of the tree that upgrades start from: the commit before this one. Where that isn't here, in a
# shallow clone or an unpacked archive, it is this tree with a file more for the daemon, which is another version to an
# installer.
#
# usage: previous-tree.sh TREE FILE   (absolute)
set -eu

tree=$1
file=$2
mkdir -p "$(dirname "$file")"
# A clone may belong to somebody else than root.
if git -c "safe.directory=$tree" -C "$tree" archive --output "$file" HEAD^1 2>/dev/null; then exit; fi

echo "previous    the commit before this one is not here: upgrades start from this tree with a file more" >&2
# shellcheck source=installers/program.sh
. "$tree/installers/program.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck disable=SC2086 # the parts are words
tar -C "$tree" --exclude=node_modules -cf - $PROGRAM_PARTS | tar -C "$scratch" -xf -
echo 'The version before.' >"$scratch/daemon/previous"
tar -C "$scratch" -cf "$file" .
