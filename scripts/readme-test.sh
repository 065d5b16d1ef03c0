#!/usr/bin/env bash
# Runs the README's commands as they are written: starts the sidecar with the first, then the others against it.
set -euo pipefail
cd "$(dirname "$0")/.."

block() { scripts/doc-block.sh README.md "<!-- readme-test: $1 -->" "$2"; }

serving() {
    for _ in $(seq 300); do
        curl -fsS -o /dev/null http://127.0.0.1:9025/startupz 2>/dev/null && return
        kill -0 "$1" || return 1
        sleep 1
    done
    return 1
}

log=$(mktemp)
setsid bash -c "$(block serve 1)" >"$log" 2>&1 &
sidecar=$!
trap 'kill -TERM -- "-$sidecar" 2>/dev/null || true; wait "$sidecar" 2>/dev/null || true; rm -f "$log"' EXIT
serving "$sidecar" || { cat "$log"; echo "the sidecar did not start"; exit 1; }
grep -q 'swaks --to' "$log" || { cat "$log"; echo "it does not say what to try"; exit 1; }

passed=0
while command=$(block run $((passed + 1))) && [ -n "$command" ]; do
    echo "\$ $command"
    output=$(bash -o pipefail -ec "$command" 2>&1) || { echo "$output"; echo "failed"; exit 1; }
    passed=$((passed + 1))
    case $passed in
        1) wanted='"status":"sent"' ;;
        2) wanted='250 2.0.0' ;;
        3) wanted='Subject: ' ;;
        *) wanted='"status":"sent"' ;;
    esac
    [[ $output == *"$wanted"* ]] || { echo "$output"; echo "not there: $wanted"; exit 1; }
done
((passed >= 4)) || { echo "only $passed commands were found"; exit 1; }
echo "$passed passed, 0 failed"
