#!/usr/bin/env bash
# The API's pages with Doxygen. A public type, function, enumeration or constant without documentation is an error, so is
# any other warning, and so is a header that does not begin with what it is for.
#   run.sh FOLDER     writes FOLDER/html; exit status 77 when doxygen is not there
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."

missing=$(find runtime kernels calib models -name '*.h' -exec sh -c 'head -1 "$1" | grep -q "^// ." || echo "$1"' _ {} \;)
[ -z "$missing" ] || { echo "headers that do not begin with a comment: $missing" >&2; exit 1; }

command -v doxygen >/dev/null || { echo "no doxygen here (Debian: apt-get install doxygen): the API's pages are not made"; exit 77; }
(cat tests/doxygen/Doxyfile; echo "OUTPUT_DIRECTORY = $out") | doxygen - 2>"$out/warnings"

# What may go without a word, as its name says it: data members, what returns a property of a class (NAME() const),
# comparisons, what a base class explains already, macros, and the specialisations of a template that is explained.
named='\(variable\) of (struct|class) |Member [A-Za-z0-9_]+\(\) const( =0)? \(function\) of (struct|class) '
named="$named|operator==|override|\\(macro definition\\)|Compound [A-Za-z0-9_:]+< .* is not documented"
if grep -Ev "$named" "$out/warnings" >&2; then
  echo "what is not documented, or badly, is listed above (tests/doxygen/run.sh)" >&2
  exit 1
fi
echo "the API's pages: $out/html/index.html"
