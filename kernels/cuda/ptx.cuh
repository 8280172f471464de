// The PTX instructions that the tensor-core kernels are made of, one function each, and nothing else. Layer 1 of 4:
//
//     ptx.cuh  <  mma.cuh, wgmma.cuh  <  epilogue.cuh  <  conv2d_s8_*.cu
//
// Shared-memory addresses are 32-bit ("shared::cta" window) and are made by shared_address().
#pragma once

#include <cuda.h>

#include <cstdint>

#ifdef OCTET_SIMT
#include <simt_ptx.h>  // the same for the emulated device of tests/simt/
#else

namespace octet::kernels::cuda::ptx {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// The shared memory that a launch asked for, 16-byte aligned.
__device__ __forceinline__ std::uint8_t* dynamic_shared() {
  extern __shared__ __align__(16) std::uint8_t dynamic_bytes[];
  return dynamic_bytes;
}

// --- sm_75, sm_80: 16-byte rows between memories and registers
// ---------------------------------------------------------------------------------------------------------

// Copies Bytes (4, 8 or 16) from global to shared memory; where `valid` is false, zeros are written and nothing is
// read. Asynchronous from sm_80 on: commit_copies() closes a group, wait_copies() waits for all but the last N groups.
template <int Bytes>
__device__ __forceinline__ void copy_async(std::uint32_t shared, const void* global, bool valid) {
#if __CUDA_ARCH__ >= 800
  const int size = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(size) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(global), "n"(Bytes), "r"(size)
                 : "memory");
  }
#else
  if constexpr (Bytes == 16) {
    const uint4 word = valid ? *static_cast<const uint4*>(global) : uint4{};
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(shared), "r"(word.x), "r"(word.y), "r"(word.z),
                 "r"(word.w)
                 : "memory");
  } else {
    static_assert(Bytes == 4);
    const std::uint32_t word = valid ? *static_cast<const std::uint32_t*>(global) : 0;
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared), "r"(word) : "memory");
  }
#endif
}

template <int Bytes>
__device__ __forceinline__ void fill_shared(std::uint32_t shared, std::uint32_t word) {
  if constexpr (Bytes == 16) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(shared), "r"(word) : "memory");
  } else {
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared), "r"(word) : "memory");
  }
}

__device__ __forceinline__ int4 load_shared(std::uint32_t shared) {
  int4 v;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(shared)
               : "memory");
  return v;
}

__device__ __forceinline__ void store_shared(std::uint32_t shared, int word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared), "r"(word) : "memory");
}

// Meets `threads` of the block's threads; 0 is the barrier of __syncthreads().
__device__ __forceinline__ void meet(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

__device__ __forceinline__ void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int Pending>
__device__ __forceinline__ void wait_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

// Four 8x16-byte matrices; lane i gives the address of row i % 8 of matrix i / 8 and receives 4 bytes of each: row
// lane / 4, bytes 4 * (lane % 4)... That is the operand layout of the 8-bit mma instructions.
__device__ __forceinline__ void load_matrices(std::uint32_t (&r)[4], std::uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared)
               : "memory");
}

// --- sm_90: programmatic dependent launch
// ---------------------------------------------------------------------------------------------------------

// Waits until the kernel before this one in the stream has finished and its writes are visible. Does nothing unless
// the launch asked for overlap.
__device__ __forceinline__ void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next kernel's blocks start as soon as there is room; it waits as above before it touches any memory.
__device__ __forceinline__ void allow_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// --- sm_90: barriers in shared memory, clusters
// ---------------------------------------------------------------------------------------------------------

#if __CUDA_ARCH__ >= 900

__device__ __forceinline__ std::uint32_t cluster_rank() {
  std::uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// All threads of the cluster's blocks meet; what they wrote before is visible to all.
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// They meet, and no more: `release` costs a fence of the whole device's memory.
__device__ __forceinline__ void cluster_meet() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
}

// The same shared-memory address in another block of the cluster.
__device__ __forceinline__ std::uint32_t in_block(std::uint32_t shared, std::uint32_t rank) {
  std::uint32_t remote;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared), "r"(rank));
  return remote;
}

__device__ __forceinline__ int4 load_cluster(std::uint32_t address) {
  int4 v;
  asm volatile("ld.shared::cluster.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

__device__ __forceinline__ void barrier_init(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// Makes initialised barriers visible to the other blocks of the cluster and to the copy engine.
__device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// One arrival, and `bytes` more to be expected from the copy engine in this phase.
__device__ __forceinline__ void barrier_expect(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

// Arrival on a barrier of any block of the cluster (an in_block() address). For handing back what was only read: an
// explicit .release.cluster would order writes too, by a fence of the whole device's memory, about a microsecond.
__device__ __forceinline__ void barrier_arrive_cluster(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Waits for the end of the phase of this parity.
__device__ __forceinline__ void barrier_wait(std::uint32_t barrier, std::uint32_t parity) {
  asm volatile(
      "{\n\t"
      ".reg .pred done;\n\t"
      "again:\n\t"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t"
      "@!done bra again;\n\t"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// --- sm_90: bulk tensor copies (TMA): one thread starts them, `barrier` counts their bytes
// ---------------------------------------------------------------------------------------------------------

__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<std::uint64_t>(map)) : "memory");
}

// `blocks`: bit mask of the blocks of the cluster that receive the copy, at the same shared-memory offset, each with
// its own barrier at the same offset as `barrier`. Without a mask, this block alone.
__device__ __forceinline__ void copy_box_3d(std::uint32_t shared, const CUtensorMap* map, std::uint32_t barrier, int x,
                                            int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(shared),
      "l"(reinterpret_cast<std::uint64_t>(map)), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ __forceinline__ void copy_box_3d(std::uint32_t shared, const CUtensorMap* map, std::uint32_t barrier, int x,
                                            int y, int z, std::uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, "
      "{%3, %4, %5}], [%2], %6;" ::"r"(shared),
      "l"(reinterpret_cast<std::uint64_t>(map)), "r"(barrier), "r"(x), "r"(y), "r"(z), "h"(blocks)
      : "memory");
}

// A run of output pixels, starting at the one whose window's first corner is (y, x) of image n: of each, the channels
// from c on at the filter tap (dy, dx). The map holds the number of pixels, the strides and where rows end.
__device__ __forceinline__ void copy_pixels(std::uint32_t shared, const CUtensorMap* map, std::uint32_t barrier, int c,
                                            int x, int y, int n, int dx, int dy) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, "
      "%6}], [%2], {%7, %8};" ::"r"(shared),
      "l"(reinterpret_cast<std::uint64_t>(map)), "r"(barrier), "r"(c), "r"(x), "r"(y), "r"(n),
      "h"(static_cast<std::uint16_t>(dx)), "h"(static_cast<std::uint16_t>(dy))
      : "memory");
}

__device__ __forceinline__ void copy_pixels(std::uint32_t shared, const CUtensorMap* map, std::uint32_t barrier, int c,
                                            int x, int y, int n, int dx, int dy, std::uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, "
      "{%3, %4, %5, %6}], [%2], {%7, %8}, %9;" ::"r"(shared),
      "l"(reinterpret_cast<std::uint64_t>(map)), "r"(barrier), "r"(c), "r"(x), "r"(y), "r"(n),
      "h"(static_cast<std::uint16_t>(dx)), "h"(static_cast<std::uint16_t>(dy)), "h"(blocks)
      : "memory");
}

#endif  // __CUDA_ARCH__ >= 900

// --- sm_90a: registers move from the warps that copy to the warps that multiply
// ---------------------------------------------------------------------------------------------------------

template <int Registers>
__device__ __forceinline__ void fewer_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
#endif
}
template <int Registers>
__device__ __forceinline__ void more_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
#endif
}

}  // namespace octet::kernels::cuda::ptx

#endif  // OCTET_SIMT
