#!/usr/bin/env bash
# The tests that aiosmtpd (PyPI) keeps of its own server, pointed at ours. What they ask and we answer otherwise on
# purpose stands in tests/conformance/deviations.toml, each with its reason.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${CARGO_TARGET_DIR:-target}/tools/aiosmtpd
wanted="aiosmtpd==1.4.6 pytest==8.4.2 pytest-mock==3.15.1 setuptools==80.9.0"
if [[ $(cat "$venv/wanted" 2>/dev/null) != "$wanted" ]]; then
  python3 -m venv --clear "$venv"
  read -ra packages <<<"$wanted"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
  echo "$wanted" >"$venv/wanted"
fi

port=18225
work=$(mktemp -d)
env SIDEPOST_HTTP_LISTEN=off SIDEPOST_ADMIN_LISTEN=off SIDEPOST_SMTP_LISTEN=127.0.0.1:$port \
  "${BINARY:-target/release/sidepost}" >"$work/log" 2>&1 &
sidecar=$!
trap 'kill "$sidecar" 2>/dev/null || true; wait "$sidecar" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break
  sleep 0.1
done
tests=$("$venv/bin/python" -c 'import aiosmtpd.tests as t; print(t.__path__[0])' 2>/dev/null)
POINTED_AT=$port PYTHONPATH=tests/conformance PYTHONDONTWRITEBYTECODE=1 timeout 300 "$venv/bin/python" -m pytest -q \
  -p pointed_at_us -p no:cacheprovider --rootdir "$tests" "$tests/test_smtp.py" "$@" 2>/dev/null ||
  { echo "the answers differ"; exit 1; }
kill -0 "$sidecar" || { echo "the sidecar did not survive"; exit 1; }
