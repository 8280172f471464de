#!/usr/bin/env bash
# Fuzzes the ONNX importer: tests/fuzz/run.sh [SECONDS] (default 60). Needs clang with its libFuzzer (Debian: clang
# libclang-rt-14-dev) and what ONNX needs. It starts from the small models that seeds.cpp writes.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
build=${BUILD:-build-fuzz}
command -v clang++ >/dev/null || { echo "skipped: no clang++" >&2; exit 0; }
echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
  clang++ -x c++ - -fsanitize=fuzzer,address -o /dev/null 2>/dev/null ||
  { echo "skipped: this clang++ has no libFuzzer (Debian: libclang-rt-14-dev)" >&2; exit 0; }
flags="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
cmake -S . -B "$build" -G Ninja -DOCTET_TESTS=OFF -DOCTET_CUDA=OFF -DOCTET_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_CXX_FLAGS_RELEASE="-DNDEBUG" >/dev/null
cmake --build "$build" --target fuzz_onnx fuzz_onnx_seeds
mkdir -p "$build/corpus"
"$build/bin/fuzz_onnx_seeds" "$build/corpus"
# 2 GiB and 10 seconds for one input are far beyond what a small file may cost.
"$build/bin/fuzz_onnx" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
  -artifact_prefix="$build/" "$build/corpus"
