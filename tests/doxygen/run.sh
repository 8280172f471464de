#!/usr/bin/env bash
# The API's pages with Doxygen; any warning is an error, and so is a header that does not begin with what it is for.
#   run.sh FOLDER     writes FOLDER/html; exit status 77 when doxygen is not there
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."

missing=$(find runtime kernels calib models -name '*.h' -exec sh -c 'head -1 "$1" | grep -q "^// ." || echo "$1"' _ {} \;)
[ -z "$missing" ] || { echo "headers that do not begin with a comment: $missing" >&2; exit 1; }

command -v doxygen >/dev/null || { echo "no doxygen here (Debian: apt-get install doxygen): the API's pages are not made"; exit 77; }
(cat tests/doxygen/Doxyfile; echo "OUTPUT_DIRECTORY = $out") | doxygen -
echo "the API's pages: $out/html/index.html"
