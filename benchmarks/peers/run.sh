#!/usr/bin/env bash
# Octet beside ONNX Runtime, OpenVINO and ncnn on this machine: builds Octet, makes a Python environment of its own
# (pinned packages from PyPI, 0.5 GB), prepares the networks and prints one table; results.json, results.md and
# everything else lie in build/peers.
#   benchmarks/peers/run.sh [--networks catdog,resnet50] [--precisions int8] [--threads 1,2] [--batches 1,8]
#       [--isas amx,avx512vnni,avx2] [--rounds 15] [--only prepare|latency|footprint|neighbour] [--merge]
# OCTET_BUILD names another build folder. The machine should do nothing else meanwhile; all of it takes 10 minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
. examples/install.sh

# shellcheck disable=SC2086  # the list is words
ensure_packages $OCTET_PACKAGES libbenchmark-dev
python3 -c "import ensurepip, venv" 2>/dev/null || ensure_packages python3 python3-venv
build=${OCTET_BUILD:-build}
work=$build/peers
mkdir -p "$work"
log=$work/build.log
cmake -S . -B "$build" -G Ninja -DOCTET_BENCHMARKS=ON >"$log" 2>&1 || { cat "$log"; exit 1; }
cmake --build "$build" --target octet octet_worker >"$log" 2>&1 || { cat "$log"; exit 1; }

requirements=benchmarks/peers/requirements.txt
if ! cmp -s "$requirements" "$work/venv/installed.txt"; then
  echo "making a Python environment in $work/venv"
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$work/venv/installed.txt"
fi
exec "$work/venv/bin/python" benchmarks/peers/compare.py --build "$build" --work "$work" "$@"
