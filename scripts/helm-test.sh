#!/usr/bin/env bash
# The chart: helm's own checks and Kubernetes' schemas for every feature and version, what no schema sees, the program's
# word on its settings, the injection's CEL evaluated, alerts and dashboard by promtool, and what linters say.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(scripts/helm-tools.sh)
PROMTOOL=$(scripts/prometheus-tools.sh)/promtool
SIDEPOST=$(realpath "${CARGO_TARGET_DIR:-target}/release/sidepost")
export HELM=$tools/bin/helm PROMTOOL SIDEPOST
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Nothing of whoever runs this: no repositories, no cluster.
export HELM_CONFIG_HOME=$work/config HELM_CACHE_HOME=$work/cache HELM_DATA_HOME=$work/data KUBECONFIG=$work/none

timeout 900 env PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" tests/helm/check.py

echo "== checkov"
# CPU limits only slow a relay down. Pull policy and digest are the user's choice, and so is the number to run as where a
# platform picks it. One object of ours has no namespace because it comes from a user's values.
skipped=CKV_K8S_11,CKV_K8S_15,CKV_K8S_21,CKV_K8S_40,CKV_K8S_43
for values in helm/sidepost/ci/*.yaml; do
  "$HELM" template mail helm/sidepost --skip-tests --namespace apps --kube-version 1.37 --values "$values" >"$work/$(basename "$values")"
done
timeout 300 "$tools/checkov/bin/checkov" --directory "$work" --framework kubernetes --skip-download --quiet --compact \
  --skip-check "$skipped" --output cli >"$work/checkov" 2>&1 || { cat "$work/checkov" >&2; exit 1; }
echo "$(find helm/sidepost/ci -name '*.yaml' | wc -l) renderings, nothing found"
echo "== hadolint"
timeout 60 "$tools/bin/hadolint" Dockerfile
echo "the Dockerfile is clean"
