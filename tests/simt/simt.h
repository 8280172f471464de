// An emulated CUDA device: the kernels of kernels/cuda/, compiled as C++ by the ordinary compiler, thread by thread on
// the CPU, so that their logic is tested where there is no GPU. cuda_runtime.h beside this file stands in for NVIDIA's,
// simt_ptx.h for the instructions of kernels/cuda/ptx.cuh.
//
// Every thread of a block is a fiber, with a stack of its own. A fiber runs until it has to wait for others: at a
// barrier of the block, or where the lanes of a warp meet (shuffles, votes, matrix instructions). Which of those that
// can go on does so next is drawn at random, from a seed: a missing barrier then gives wrong results. Blocks run one
// after another, in random order; shared memory is filled with garbage before each. Asynchronous copies arrive when
// they are waited for and not before.
//
// What it finds: wrong indices (with AddressSanitizer: any access outside of device memory, and of shared memory),
// wrong arithmetic, missing barriers and waits, barriers and collectives that not all threads reach (an Error that says
// where). What it cannot show: races between blocks through device memory, the memory model, speed. wgmma and TMA are
// not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 : uint3 {
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : uint3{x_, y_, z_} {}
};

// Of the thread that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace simt {

constexpr int kLanes = 32;

// Runs body() once for each thread of each block. Throws std::runtime_error when threads wait for what cannot come.
void launch(dim3 grid, dim3 block, std::size_t dynamic_shared, const std::function<void()>& body);

// --- of the thread that runs
// ------------------------------------------------------------------------------------------------------

int lane();
std::uint8_t* dynamic_shared();

// Meets so many threads of the block (0: all that have not ended) at one of 16 barriers.
void meet_block(int barrier, int threads);

// What a lane shows the others of its warp.
struct Slot {
  std::uint32_t words[8];
};
// Meets all lanes of the warp, which must be there; returns what each of them brought, [kLanes], valid until this lane
// meets the others for the second time from here. `what`: a literal; all lanes must come with the same.
const Slot* meet_warp(const char* what, const Slot& own);

// Ends the launch with an error.
[[noreturn]] void fail(const char* what);

// Shared memory as 32-bit addresses, and back.
std::uint32_t address_of(const void* shared);
void* pointer_of(std::uint32_t address);

// Copies that arrive later: those of a group when all but the last `pending` groups are waited for.
void copy_later(void* to, const void* from, std::size_t size, bool valid);  // not valid: zeros
void close_group();
void wait_for_groups(int pending);

}  // namespace simt
