#!/bin/sh
# Property-based tests of the HTTP API against its own description, by schemathesis (PyPI).
#
#   scripts/schemathesis.sh http://127.0.0.1:8025
#
# The service should run with the provider `capture` and without a token. About 40 seconds; EXAMPLES=60 takes 10.
# The exit code is that of schemathesis. /openapi.yaml itself is left out by schemathesis; tests/it/contract.rs has it.
set -eu

url=${1:?usage: scripts/schemathesis.sh URL}
here=$(cd "$(dirname "$0")" && pwd)
venv=${CARGO_TARGET_DIR:-$here/../target}/schemathesis
version=4.32.5

if ! "$venv/bin/python" -c "import importlib.metadata as m; assert m.version('schemathesis') == '$version'" 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

cd "$venv"
# Admin routes are served elsewhere. The seed makes a failure come back; the number of examples bounds the time.
SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$here exec bin/schemathesis \
    --config-file "$here/schemathesis.toml" run "$url/openapi.yaml" --url "$url" \
    --exclude-tag admin --checks all --seed 1 --max-examples "${EXAMPLES:-400}" --continue-on-failure --generation-database none
