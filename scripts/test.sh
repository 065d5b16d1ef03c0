#!/usr/bin/env bash
# Installs what the tests need and runs them all: real Postfix and Dovecot as the provider, real clients, the contract.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-test-tools.sh
echo "== build"
cargo build --locked --release
echo "== the rig's own test"
tests/rig/selftest.sh
echo "== tests"
cargo test --locked
echo "== real clients"
scripts/clients-test.sh
echo "== WordPress"
scripts/wordpress-test.sh
echo "== any bytes, for a minute"
scripts/fuzz.sh
echo "== the API against its description"
scripts/schemathesis-test.sh
echo "== replies as aiosmtpd's own tests expect them"
scripts/conformance-test.sh
echo "== TLS as sslyze sees it"
scripts/sslyze-test.sh
echo "== the README, as written"
scripts/readme-test.sh
scripts/quick-starts-test.sh
echo "== the alerts and the metrics"
scripts/rules-test.sh
echo "== the Helm chart and the dashboard"
scripts/helm-test.sh
