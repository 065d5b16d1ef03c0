#!/bin/sh
# Verifies the DKIM signatures of a message by dkimpy (PyPI), which shares no code with ours.
#
#   scripts/dkim-verify.sh RECORDS < message
#
# RECORDS has a line for each public key: its name in the DNS, a tab, its TXT record. Nothing is looked up elsewhere.
# Prints a line per signature, from the top: its algorithm, its selector, and `pass` or `fail`.
set -eu

records=${1:?usage: scripts/dkim-verify.sh RECORDS < message}
here=$(cd "$(dirname "$0")" && pwd)
venv=${CARGO_TARGET_DIR:-$here/../target}/tools/dkimpy
python=$venv/bin/python

# Two tests may come here at once.
mkdir -p "$venv"
exec 9>"$venv/lock"
flock 9
if ! "$python" -c "import importlib.metadata as m; assert m.version('dkimpy') == '1.1.8'; import nacl" 2>/dev/null; then
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check dkimpy==1.1.8 dnspython==2.7.0 pynacl==1.5.0 >&2
fi
flock -u 9

exec "$python" "$here/dkim_verify.py" "$records"
