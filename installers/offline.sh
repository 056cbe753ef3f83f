# shellcheck shell=sh
# Installing from what installers/bundle made: no npm, no network; sourced by installers/install.sh.
#
# The checksums inside tell a damaged archive. Against who changes the archive on its way only a digest helps that came
# another way: ARCHIVE.sha256, or the one that is printed.

# offline_open ARCHIVE: unpacks it, checks it, and makes it the source of this install.
offline_open() {
  if [ ! -f "$1" ]; then prepare_fail "there is no $1" "Name an archive that installers/bundle made."; fi
  offline_digest=$(sha256sum "$1" | cut -d ' ' -f 1)
  if [ -f "$1.sha256" ]; then
    if [ "$(cut -d ' ' -f 1 "$1.sha256")" != "$offline_digest" ]; then
      prepare_fail "$1 is not the archive that $1.sha256 was made of" "Copy both again from where they were made."
    fi
  else
    echo "bundle      SHA-256 $offline_digest: compare it with what installers/bundle printed"
  fi
  offline_directory=$(mktemp -d /var/tmp/agent-anchor-bundle.XXXXXX)
  if ! tar --no-same-owner -xzf "$1" -C "$offline_directory" 2>/dev/null || [ ! -f "$offline_directory/agent-anchor/BUNDLE" ]; then
    prepare_fail "$1 is no bundle, or a damaged one" "Make one: installers/bundle, on a machine with network."
  fi
  source=$offline_directory/agent-anchor
}

offline_close() {
  if [ -n "${offline_directory:-}" ]; then rm -rf "$offline_directory"; fi
}

# offline_check: where the source is a bundle, unpacked here or by somebody else, it must be whole and fit.
offline_check() {
  if [ ! -f "$source/BUNDLE" ]; then return; fi
  PREPARE_OFFLINE=yes
  if ! (cd "$source" && sha256sum --check --quiet --strict SHA256SUMS) >&2; then
    prepare_fail "files of the bundle are not as they were made" "Copy the archive again from where it was made."
  fi
  offline_listed=$(wc -l <"$source/SHA256SUMS")
  offline_found=$(find "$source" -type f ! -path "$source/SHA256SUMS" | wc -l)
  if [ "$offline_listed" -ne "$offline_found" ]; then
    prepare_fail "the bundle has files that its SHA256SUMS does not name" "Unpack it anew, into an empty directory."
  fi
  if [ "$(offline_fact machine)" != "$(uname -m)" ]; then
    prepare_fail "this bundle is for $(offline_fact machine), and this machine is $(uname -m)" \
      "Make one on a machine of this kind: installers/bundle."
  fi
  echo "bundle      whole: $offline_found files"
}

# offline_fact KEY: what the bundle says of itself.
offline_fact() {
  sed -n "s/^$1: //p" "$source/BUNDLE"
}

offline_codename() {
  # shellcheck source=/dev/null
  (. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
}

# offline_packages NAMES: installs what is missing from the Debian packages that the bundle carries.
offline_packages() {
  offline_by_hand="Install by hand what is missing ($1), then run this again."
  if [ ! -d "$source/packages" ] || [ "$(offline_fact codename)" != "$(offline_codename)" ]; then
    prepare_fail "not installed: $1; this bundle carries no packages for this system" "$offline_by_hand"
  fi
  offline_files=
  for offline_file in "$source"/packages/*.deb; do
    offline_name=$(dpkg-deb --field "$offline_file" Package)
    if ! dpkg-query --show --showformat='${Status}' "$offline_name" 2>/dev/null | grep -q ' installed$'; then
      offline_files="$offline_files $offline_file"
    fi
  done
  # Of a package that dpkg holds to be installed, another file would not help.
  if [ -z "$offline_files" ]; then prepare_fail "could not install: $1, whose packages are said to be installed" "$offline_by_hand"; fi
  echo "packages    installing $1 from the bundle" >&2
  # shellcheck disable=SC2086 # the paths are words: mktemp made them
  if ! DEBIAN_FRONTEND=noninteractive dpkg --install $offline_files >/dev/null; then
    prepare_fail "dpkg could not install: $1" "See its message above. $offline_by_hand"
  fi
  # shellcheck disable=SC2086 # the names are words
  offline_left=$(prepare_missing_of $1)
  if [ -n "$offline_left" ]; then prepare_fail "the bundle does not carry: $offline_left" "$offline_by_hand"; fi
}
