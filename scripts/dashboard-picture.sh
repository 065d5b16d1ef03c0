#!/usr/bin/env bash
# Draws docs/dashboard.svg: two real sidecars with a scripted provider on loopback that has a bad time, a real Prometheus
# that watches them, and the dashboard's own queries asked of it. Grafana is in no package registry, so the lines are
# drawn by scripts/dashboard_picture.py. Takes seven minutes; SECONDS_PER_PART=10 takes two.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
prometheus=$(scripts/prometheus-tools.sh)/prometheus
work=$(mktemp -d)
watching=
finish() {
  [[ -z $watching ]] || kill "$watching" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap finish EXIT

cat >"$work/prometheus.yml" <<'YAML'
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: sidepost
    static_configs:
      - {targets: ["127.0.0.1:19026"], labels: {instance: "shop"}}
      - {targets: ["127.0.0.1:19027"], labels: {instance: "newsletter"}}
YAML
"$prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:19090 \
  --log.level=error &
watching=$!
timeout 1200 python3 scripts/dashboard_scene.py "$target/release/sidepost" "$work" "${SECONDS_PER_PART:-60}" >"$work/times"
python3 scripts/dashboard_picture.py http://127.0.0.1:19090 "$work/times" deploy/grafana/sidepost.json docs/dashboard.svg
