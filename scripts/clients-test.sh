#!/usr/bin/env bash
# Real clients hand mail to the release binary: see tests/clients/README.md. Arguments: parts of the names of cases.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/clients.sh
exec timeout 600 python3 tests/clients/run.py "$@"
