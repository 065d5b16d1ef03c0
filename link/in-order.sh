#!/usr/bin/env bash
# Links as the C compiler does, with the functions of first.txt next to each other: the kernel maps a program in large
# pieces around each page that is touched, so what an idle process runs should not lie between what it does not.
#
# rustc's name for a function ends in a number that changes with every compiler and dependency. The list has the names as
# people read them, and what they are this time is looked up in the objects. A name that is not there is passed over: with
# an old list the process grows, and the build still works. bench/order.py writes the list.
set -euo pipefail

list=$(dirname "${BASH_SOURCE[0]}")/first.txt
order=$(mktemp)
trap 'rm -f "$order"' EXIT

symbols() { nm --defined-only --no-sort --just-symbols "$@"; }

# Each name of the list as it is in those objects, where a generic function has several; the C library's are as they are.
names() {
  local -A called=()
  local name readable
  while IFS=$'\t' read -r name readable; do
    if [[ -n $readable ]]; then called[$readable]+=$name$'\n'; fi
  done < <(paste <(symbols "$@") <(symbols --demangle "$@"))
  while read -r readable; do
    if [[ -n $readable && $readable != '#'* ]]; then printf '%s\n' "${called[$readable]-$readable}"; fi
  done <"$list"
}

objects=()
for argument; do
  if [[ $argument == *.o ]]; then objects+=("$argument"); fi
done
if [[ -f $list && ${#objects[@]} != 0 ]]; then names "${objects[@]}" >"$order"; fi
cc "$@" -Wl,--symbol-ordering-file="$order" -Wl,--no-warn-symbol-ordering
