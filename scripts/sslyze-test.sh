#!/usr/bin/env bash
# sslyze against both ways into TLS: only TLS 1.2 with AEAD and forward secrecy, and TLS 1.3; no compression, no
# renegotiation by clients, no early data.
set -euo pipefail
cd "$(dirname "$0")/.."

smtp=127.0.0.1:18125
smtps=127.0.0.1:18465
work=$(mktemp -d)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
env SIDEPOST_HTTP_LISTEN=off SIDEPOST_ADMIN_LISTEN=off SIDEPOST_SMTP_LISTEN="$smtp" SIDEPOST_SMTPS_LISTEN="$smtps" \
  SIDEPOST_TLS_CERT_FILE="$work/tls.crt" SIDEPOST_TLS_KEY_FILE="$work/tls.key" "${BINARY:-target/release/sidepost}" >"$work/log" 2>&1 &
sidecar=$!
trap 'kill "$sidecar" 2>/dev/null || true; wait "$sidecar" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/${smtp/://}") 2>/dev/null && break
  sleep 0.1
done
scans=(--sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --compression --reneg --early_data --fallback --heartbleed
  --openssl_ccs --robot --ems)
timeout 300 scripts/sslyze.sh "${scans[@]}" "$smtps" >"$work/smtps.json"
timeout 300 scripts/sslyze.sh "${scans[@]}" --starttls=smtp "$smtp" >"$work/starttls.json"
python3 scripts/sslyze_verdict.py "$work/smtps.json" "$work/starttls.json"
kill -0 "$sidecar" || { echo "the sidecar did not survive"; exit 1; }
