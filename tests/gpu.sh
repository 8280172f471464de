#!/usr/bin/env bash
# Everything that needs a GPU, in one call: builds, tests, sanitises and times, and leaves a report in Markdown.
#   tests/gpu.sh [--build FOLDER] [--report FILE] [--quick]
#     --build FOLDER  a build made elsewhere (its bin/ holds the programs, its lib/ what they need); default: build here,
#                     in build-gpu
#     --report FILE   default: build-gpu/report.md
#     --quick         no sanitisers
# Exits with 1 when a test or a sanitiser fails; the report says which.
set -uo pipefail
cd "$(dirname "$0")/.."

build="" report=build-gpu/report.md quick=0
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$2; shift 2 ;;
    --report) report=$2; shift 2 ;;
    --quick) quick=1; shift ;;
    *) echo "usage: tests/gpu.sh [--build FOLDER] [--report FILE] [--quick]" >&2; exit 2 ;;
  esac
done
if [ -z "$build" ]; then
  build=build-gpu
  cmake -S . -B "$build" -G Ninja -DOCTET_TESTS=ON -DOCTET_CUDA=ON &&
    cmake --build "$build" --target octet test_cuda_kernels test_cuda_program test_cuda_lost \
      test_cuda_decode test_cuda_sparse test_cuda_voxels || exit 1
fi
mkdir -p "$(dirname "$report")"
export LD_LIBRARY_PATH="$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" OCTET_DATA="${OCTET_DATA:-$PWD/models}"
failed=0

say() { echo "$*" | tee -a "$report"; }

# step TITLE COMMAND...: runs it, keeps the end of its output, and says whether it passed
step() {
  local title=$1 status start=$SECONDS log
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1
  status=$?
  [ $status -ne 0 ] && failed=1
  say ""
  say "### $title: $([ $status -eq 0 ] && echo passed || echo "FAILED ($status)"), $((SECONDS - start)) s"
  say '```'
  tail -n 40 "$log" | cut -c1-300 | tee -a "$report"
  say '```'
  rm -f "$log"
}

: >"$report"
say "# GPU report, $(date -u +%F)"
say ""
say "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no GPU")"

say ""
say "## Tests"
step "kernels against the CPU reference" "$build/bin/test_cuda_kernels"
step "programs against the interpreter and the CPU" "$build/bin/test_cuda_program"
step "decoding against the CPU" "$build/bin/test_cuda_decode"
step "a lost device" "$build/bin/test_cuda_lost"
step "sparse networks against the CPU and the dense oracle" "$build/bin/test_cuda_sparse"
step "voxels against the CPU" "$build/bin/test_cuda_voxels"

if [ $quick -eq 0 ] && command -v compute-sanitizer >/dev/null; then
  say ""
  say "## compute-sanitizer (each stops at its first error)"
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool: kernels" timeout 240 compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 \
      "$build/bin/test_cuda_kernels" --test-case='*CUDA*'
  done
  for tool in memcheck racecheck; do
    step "$tool: sparse networks" timeout 240 compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 \
      "$build/bin/test_cuda_sparse" --test-case='*entry by entry*,*nothing is written*,*NaN*'
    step "$tool: voxels" timeout 240 compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 \
      "$build/bin/test_cuda_voxels"
  done
  step "memcheck: programs" timeout 240 compute-sanitizer --tool memcheck --leak-check full --error-exitcode 9 \
    --print-limit 5 "$build/bin/test_cuda_program" --test-case='*hand-made*,*contexts*,*batch size*'
fi

say ""
say "## Latency, host call to host-visible result (octet bench, inputs varied and in pinned memory, 500 runs)"
say ""
say "| model | precision | batch | median ms | p99 ms |"
say "| --- | --- | --- | --- | --- |"
for model in catdog mobilenet_v2 resnet50 efficientnet_lite0; do
  for batch in 1 64 256; do
    line=$("$build/bin/octet" bench "$model" --device cuda --precision int8 --batch $batch --runs 500 --quiet --json 2>&1) ||
      { say "| $model | int8 | $batch | failed | $(echo "$line" | tail -1 | cut -c1-120) |"; failed=1; continue; }
    value() { echo "$line" | sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"; }
    say "| $model | int8 | $batch | $(value latency_ms_median) | $(value latency_ms_p99) |"
  done
done
for model in catdog mobilenet_v2 resnet50; do
  for batch in 1 64; do
    step "layers of $model, batch $batch" "$build/bin/octet" bench "$model" --device cuda --precision int8 --batch $batch \
      --runs 50 --per-layer --quiet
  done
done
exit $failed
