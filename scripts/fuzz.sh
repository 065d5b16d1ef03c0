#!/usr/bin/env bash
# Lets libFuzzer loose on every target in fuzz/, one after the other, for so many seconds in all.
#
#   scripts/fuzz.sh [SECONDS]              60 by default, with a fixed seed: what the tests do
#   SEED=0 scripts/fuzz.sh 3600            longer, and differently each time
#   TARGETS="data reply" scripts/fuzz.sh   only these
#   scripts/fuzz.sh minimize               takes into fuzz/corpus what was found anew and reaches further
#
# What was found is kept in target/fuzz/corpus. An input that breaks something is printed, kept in target/fuzz/crashes,
# and tried again by target/fuzz/x86_64-unknown-linux-gnu/release/TARGET FILE; it becomes a test beside the code.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.13.1
tools=$PWD/target/tools/cargo-fuzz-$version
work=target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
read -ra targets <<<"${TARGETS:-$(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | tail -n +2 | xargs)}"

# No nightly compiler: coverage is a stable option, and code without `unsafe` gives a sanitizer nothing to find. What it
# can do wrong are overflows, indexes and assertions, and those are checked.
build() {
  [[ -x $tools/bin/cargo-fuzz ]] || cargo install cargo-fuzz --version "$version" --locked --quiet --root "$tools"
  PATH=$tools/bin:$PATH cargo fuzz build --sanitizer none --target-dir "$work"
}

# Options that an input needs to be judged fairly: a line of 4 KiB is the longest reply, 20,000 bytes the largest message.
longest() {
  case $1 in
    address | command) echo 1024 ;;
    dialogue | json) echo 24000 ;;
    import) echo 16384 ;;
    *) echo 8192 ;;
  esac
}

fuzz() {
  local target=$1 seconds=$2
  mkdir -p "$work/corpus/$target" "$work/crashes" "$work/logs"
  local log=$work/logs/$target dictionary=fuzz/dictionaries/$target.dict
  local options=(-max_total_time="$seconds" -max_len="$(longest "$target")" -timeout=10 -rss_limit_mb=1024
    -seed="${SEED:-1}" -artifact_prefix="$work/crashes/$target-" -print_final_stats=1)
  if [[ -f $dictionary ]]; then options+=(-dict="$dictionary"); fi
  # A setting of whoever calls is no input.
  env -i PATH="$PATH" "$work/$host/release/$target" "${options[@]}" "$work/corpus/$target" "fuzz/corpus/$target" \
    >"$log" 2>&1 || {
    tail -n 60 "$log" >&2
    echo "fuzz: $target failed; its whole log is $log" >&2
    return 1
  }
  report "$target" "$log"
}

# executions, edges covered, inputs in the corpus, memory
report() {
  local last
  last=$(grep -E '^#[0-9]+.*cov: ' "$2" | tail -n 1)
  printf '%-12s %10s executions  %6s edges  %5s inputs  %4s MB\n' "$1" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$2")" \
    "$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' <<<"$last")" \
    "$(sed -n 's/.*corp: \([0-9]*\).*/\1/p' <<<"$last")" \
    "$(sed -n 's/^stat::peak_rss_mb: *//p' "$2")"
}

# Of what was found, the inputs that reach code which those in fuzz/corpus do not.
minimize() {
  local target
  for target in "${targets[@]}"; do
    mkdir -p "$work/corpus/$target" "$work/logs"
    "$work/$host/release/$target" -set_cover_merge=1 -use_counters=0 -max_len=1024 \
      "fuzz/corpus/$target" "$work/corpus/$target" >"$work/logs/$target-merge" 2>&1
  done
  find fuzz/corpus -type f -printf '%s\n' | awk '{ bytes += $1 } END { print NR " inputs, " bytes " bytes" }'
}

build
if [[ ${1:-} == minimize ]]; then
  minimize
  exit
fi
seconds=$((${1:-60} / ${#targets[@]}))
for target in "${targets[@]}"; do
  fuzz "$target" "$((seconds > 0 ? seconds : 1))"
done
