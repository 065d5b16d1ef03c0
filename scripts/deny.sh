#!/usr/bin/env bash
# Licences, sources and banned crates. The advisory database lives outside the package registries, so it is not asked.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="$PWD/target/tools"
if ! [ -x "$tools/bin/cargo-deny" ]; then
    cargo install cargo-deny --locked --quiet --root "$tools"
fi
"$tools/bin/cargo-deny" --locked --offline --config .deny.toml check bans licenses sources
