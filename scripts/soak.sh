#!/usr/bin/env bash
# Ten minutes (or SECONDS) of mail through a provider that restarts every 20 s: are the counts right, does anything grow?
set -euo pipefail
cd "$(dirname "$0")/.."

SOAK_SECONDS=${1:-600} SOAK_RESTART=${SOAK_RESTART:-20} exec cargo test --locked --test it -- soak:: --nocapture
