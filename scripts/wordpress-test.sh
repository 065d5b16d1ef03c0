#!/usr/bin/env bash
# A real WordPress (Debian's), with MariaDB and PHP's web server, sends through the release binary by the plugin and by the
# shim of deploy/wordpress: see tests/wordpress/run.py. Arguments: parts of the names of cases. It takes a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/wordpress.sh
exec timeout 300 python3 tests/wordpress/run.py "$@"
