#!/usr/bin/env bash
# The alerts and the metrics, by Prometheus' own tools: rules and their tests, the text that a running sidecar serves, and
# that every metric in a rule or a document is one of them.
set -euo pipefail
cd "$(dirname "$0")/.."

rules=deploy/prometheus/sidepost.rules.yaml
binary=${CARGO_TARGET_DIR:-target}/release/sidepost
work=$(mktemp -d)
sidecar=
finish() {
  [[ -z $sidecar ]] || kill "$sidecar" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

promtool=$(scripts/prometheus-tools.sh)/promtool

echo "== rules"
"$promtool" check rules --lint=all --lint-fatal "$rules"
"$promtool" test rules "${rules%.yaml}.test.yaml"
mapfile -t alerts < <(sed -n 's/^ *- alert: //p' "$rules")
for alert in "${alerts[@]}"; do
  [[ -s docs/runbook/$alert.md ]] || { echo "no page docs/runbook/$alert.md" >&2; exit 1; }
  grep -q "alertname: $alert" "${rules%.yaml}.test.yaml" || { echo "no test of $alert" >&2; exit 1; }
done

echo "== metrics"
# A provider that is not there: everything about a provider is served, and nobody is bothered.
env -i PATH="$PATH" SIDEPOST_PROVIDER=smtp SIDEPOST_HOST=127.0.0.1 SIDEPOST_PORT=9 SIDEPOST_TLS=none SIDEPOST_CONTROL_HOSTS=off \
  SIDEPOST_HTTP_LISTEN=127.0.0.1:18925 SIDEPOST_SMTP_LISTEN=off SIDEPOST_ADMIN_LISTEN=127.0.0.1:18926 \
  "$binary" >"$work/log" 2>&1 &
sidecar=$!
for _ in $(seq 100); do
  curl -fs http://127.0.0.1:18926/metrics -o "$work/metrics" && break
  sleep 0.1
done
"$promtool" check metrics <"$work/metrics"
sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/metrics" | sort >"$work/served"
grep -rohE 'sidepost_[a-z_]+' deploy/prometheus deploy/grafana docs helm README.md | sed -E 's/_(bucket|sum|count)$//' | sort -u >"$work/named"
unknown=$(comm -23 "$work/named" "$work/served")
[[ -z $unknown ]] || { echo "named and not served: $unknown" >&2; exit 1; }
echo "$(wc -l <"$work/served") metrics served, $(wc -l <"$work/named") named in rules, dashboard, chart and documents"
