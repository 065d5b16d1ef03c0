#!/usr/bin/env bash
# Prometheus and promtool, from Debian's package, into target/tools/prometheus. Prints the folder of the programs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=${CARGO_TARGET_DIR:-$here/../target}/tools/prometheus

# The package is not installed, since it would bring a server that starts.
if [[ ! -x $tools/usr/bin/promtool ]]; then
  mkdir -p "$tools"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && timeout 600 apt-get -qq -o APT::Sandbox::User=root download prometheus)
  dpkg-deb -x "$work"/prometheus_*.deb "$tools"
fi
cd "$tools/usr/bin" && pwd
