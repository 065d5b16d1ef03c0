#!/usr/bin/env bash
# 10,000 silent connections, then 10,000 half-finished messages, and what real clients notice of them. About five minutes.
#
#   scripts/crowd.sh [COUNT]
set -euo pipefail
cd "$(dirname "$0")/.."

count=${1:-10000}
ulimit -n "$(ulimit -Hn)"
(($(ulimit -n) > count + 1000)) || { echo "needs more file descriptors than $(ulimit -n)"; exit 1; }
cargo build -q --locked --release
smtp=127.0.0.1:11025
for kind in silent half; do
  env SIDEPOST_HTTP_LISTEN=off SIDEPOST_ADMIN_LISTEN=off SIDEPOST_SMTP_LISTEN="$smtp" SIDEPOST_LOG_LEVEL=error \
    SIDEPOST_SMTP_CONNECTIONS=$((count + 2000)) target/release/sidepost 2>/dev/null &
  sidecar=$!
  trap 'kill "$sidecar" 2>/dev/null || true' EXIT
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/${smtp/://}") 2>/dev/null && break
    sleep 0.1
  done
  timeout 900 python3 scripts/crowd.py "$smtp" "$sidecar" "$count" "$kind"
  kill "$sidecar"
  wait "$sidecar" || true
done
