#!/usr/bin/env bash
# Unpacks Debian's WordPress below target/tools/wordpress as a folder for a web server. It is not installed, since that
# would bring Apache. Does nothing, quickly, when it is all there.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(wordpress wordpress-theme-twentytwentythree php-getid3 libjs-cropper libjs-underscore)
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools/wordpress")
[[ ! -e $tools/site/wp-login.php ]] || exit 0

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

download() {
  # As whoever runs this: apt's own user could not write here, and would say so.
  (cd "$place" && timeout 300 apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 download "${PACKAGES[@]}")
}

# A machine whose packages are all there may have no list of them.
download || {
  if ((EUID == 0)); then timeout 300 apt-get -q update; else sudo -- timeout 300 apt-get -q update; fi
  download
}
for package in "$place"/*.deb; do dpkg-deb -x "$package" "$place/root"; done

# What points out of the tree: files of the other packages become copies; Debian's own configuration goes.
mkdir -p "$place/site"
find "$place/root/usr/share/wordpress" -lname '/*' -delete
rm "$place/root/usr/share/wordpress/wp-config.php"
cp -rL "$place/root/usr/share/wordpress/." "$place/site"
mkdir -p "$tools"
rm -rf "$tools/unpacked"
mv "$place/site" "$tools/unpacked"
mv "$tools/unpacked" "$tools/site"
