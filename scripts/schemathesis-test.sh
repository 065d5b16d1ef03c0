#!/usr/bin/env bash
# Starts the sidecar in capture mode on ports of its own and lets schemathesis loose on it.
set -euo pipefail
cd "$(dirname "$0")/.."

http=127.0.0.1:18025
log=$(mktemp)
env SIDEPOST_HTTP_LISTEN="$http" SIDEPOST_SMTP_LISTEN=off SIDEPOST_ADMIN_LISTEN=off target/release/sidepost >"$log" 2>&1 &
sidecar=$!
trap 'kill "$sidecar" 2>/dev/null || true; wait "$sidecar" 2>/dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 100); do
    curl -fsS -o /dev/null "http://$http/openapi.yaml" 2>/dev/null && break
    sleep 0.1
done
scripts/schemathesis.sh "http://$http"
kill -0 "$sidecar" || { echo "the sidecar did not survive"; exit 1; }
