#!/usr/bin/env bash
# The NEON kernels without an ARM machine: cross-compiles Octet for 64-bit ARM and runs kernel, program and same-bytes
# tests under qemu, on a processor model of each generation:
#
#     cortex-a57    ARMv8.0: NEON                                              -> neon
#     neoverse-n1   ARMv8.2 with dot products                                  -> neon_dotprod
#     max           everything that qemu knows, 8-bit matrix products included -> neon_i8mm
#
#   tests/neon.sh [FOLDER]     a build of this machine (build-tests): cat/dog must have the same hashes in it
#
# qemu and the cross compiler come from Debian's packages (installed when this may be done). The ARM libraries are
# downloaded by apt into the build folder and unpacked there; the system is not touched. Exit status 77: skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/install.sh
native=${1:-build-tests}/bin/test_isa
build=build-neon
root=$PWD/$build/sysroot

skip() {
  echo "NEON tests SKIPPED: $1"
  exit 77
}

# Debian's ARM packages of our dependencies, and of theirs, unpacked below $root.
make_sysroot() {
  local apt=$PWD/$build/apt
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  local options=(-qq -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" install -y --no-install-recommends --download-only libfmt-dev libzip-dev libeigen3-dev \
    libstb-dev libcli11-dev nlohmann-json3-dev doctest-dev
  rm -rf "$root.new" "$root"
  local package
  for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$root.new"; done
  mv "$root.new" "$root"
  rm -rf "$apt"
}

command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null ||
  ensure_packages g++-aarch64-linux-gnu qemu-user || skip "no cross compiler or no qemu"
mkdir -p $build
if [ ! -d "$root" ]; then make_sysroot >$build/sysroot.log 2>&1 || { cat $build/sysroot.log; skip "no ARM libraries"; }; fi

# -O1: what is not a kernel need not be fast, and the kernels ask for -O3 themselves.
cmake -S . -B $build -G Ninja -DCMAKE_TOOLCHAIN_FILE=tests/aarch64.cmake -DOCTET_SYSROOT="$root" -DOCTET_TESTS=ON \
  -DOCTET_CUDA=OFF -DCMAKE_CXX_FLAGS_RELEASE=-O1 >$build/configure.log 2>&1 || { cat $build/configure.log; exit 1; }
cmake --build $build --target test_isa test_kernels test_arithmetic test_fuzz_graphs test_house \
  >$build/build.log 2>&1 || { tail -60 $build/build.log; exit 1; }

# on MODEL PROGRAM ARGUMENT...
on() {
  local model=$1 program=$2
  shift 2
  qemu-aarch64 -L "$root" -cpu "$model" "$build/bin/$program" "$@"
}

rm -f $build/native.txt
if [ -x "$native" ]; then
  OCTET_HASH_FILE=$build/native.txt "$native" >$build/native.log || { cat $build/native.log; exit 1; }
fi

# model MODEL ISA ISAS: one processor, the instruction set that Octet must choose there, and those whose kernels are
# examined there (each of them once: emulation is slow)
model() {
  local model=$1 isa=$2 isas=$3 log=$build/$1.log
  {
    OCTET_EXPECT_ISA=$isa OCTET_HASH_FILE=$build/$model.txt on "$model" test_isa &&
      OCTET_TEST_ISAS=$isas on "$model" test_kernels &&
      OCTET_FUZZ_SECONDS=0 on "$model" test_fuzz_graphs
  } >"$log" 2>&1 || { cat "$log"; echo "NEON: failed on $model"; return 1; }
  grep -h "chosen:" "$log" | sed "s/.*chosen/$model: chosen/"
  if [ ! -f $build/native.txt ]; then
    echo "$model: no native build here to compare cat/dog's bytes with"
    return 0
  fi
  cmp $build/native.txt "$build/$model.txt" || { echo "NEON: other bytes than the native build's on $model"; return 1; }
  echo "$model: every quantised tensor of cat/dog has the native build's hash"
}

# alone PROGRAM: what need not run on each of them
alone() {
  on max "$1" >"$build/$1.log" 2>&1 || { cat "$build/$1.log"; echo "NEON: $1 failed"; return 1; }
}

running=()
model cortex-a57 neon "reference portable neon" & running+=($!)
model neoverse-n1 neon_dotprod neon_dotprod & running+=($!)
model max neon_i8mm neon_i8mm & running+=($!)
alone test_arithmetic & running+=($!)
alone test_house & running+=($!)  # no code of one instruction set that the linker could share with another
failed=0
for process in "${running[@]}"; do wait "$process" || failed=1; done
exit $failed
