#!/usr/bin/env bash
# Prints a block of code of a document, as a reader would copy it: the N-th shell block that follows a mark, or, without
# N, the block right behind it, whatever it is written in.
#
#   scripts/doc-block.sh README.md '<!-- readme-test: run -->' 2
#   scripts/doc-block.sh docs/quick-starts.md '<!-- run: node -->'
set -euo pipefail

awk -v mark="$2" -v wanted="${3:-1}" -v shell="${3:+yes}" '
  $0 == mark { marked = 1; next }
  marked && (shell ? $0 == "```sh" : /^```/) { count++; marked = 0; inside = 1; next }
  /^```$/ { inside = 0 }
  inside && count == wanted' "$1"
