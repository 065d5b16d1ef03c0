#!/usr/bin/env bash
# What sslyze (PyPI) finds at a TLS listener of ours, as JSON on standard output.
#
#   scripts/sslyze.sh 127.0.0.1:465
#   scripts/sslyze.sh 127.0.0.1:1025 --starttls=smtp
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
venv=${CARGO_TARGET_DIR:-$here/../target}/tools/sslyze
version=6.3.1

if ! "$venv/bin/python" -c "import importlib.metadata as m; assert m.version('sslyze') == '$version'" 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "sslyze==$version"
fi
exec "$venv/bin/sslyze" --json_out=- --mozilla_config=disable "$@"
