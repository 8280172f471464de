// The tile unit: configuration, loads and stores, and what becomes of a tile of sums. Shared by the AMX kernels.
//
// The configuration is per thread and costs little: it is loaded at the start of a run() and released at its end. All
// tile instructions are assembly: g++ 12 declares _tile_loadconfig to read 8 of its 64 bytes and drops the other
// stores.
#pragma once

#include "kernels/cpu/amx_pixels.h"
#include "kernels/cpu/avx512.h"

namespace octet::kernels::amx {

constexpr std::int64_t kTileBytes = 64 * 16;  // of inputs and of weights
using Sums = std::int32_t[kPixels][16];       // one tile of sums

struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Tiles 0 to `pixel_tiles` - 1 have a row a pixel, the others (weights) 16 rows.
static inline void configure(std::int64_t pixels, int pixel_tiles = 6) {
  TileConfiguration c;
  for (int tile = 0; tile < 8; ++tile) {
    c.row_bytes[tile] = 64;
    c.rows[tile] = static_cast<std::uint8_t>(tile < pixel_tiles ? pixels : 16);
  }
  asm volatile("ldtilecfg %0" ::"m"(c));
}
static inline void release() { asm volatile("tilerelease"); }

#define OCTET_TILE_LOAD(tile, from, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(stride) : "memory")
#define OCTET_TILE_ZERO(tile) asm volatile("tilezero %%tmm" #tile ::)
#define OCTET_TILE_STORE(tile, to) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(std::int64_t{64}) : "memory")

// Sums += rows x weights on the tile unit: rows of depth (pixels, sites) in tmm4 and tmm5, the weights of one or two
// blocks of channels in tmm6 and tmm7, sums in tmm0 to tmm3, [block][tile of rows]. First, Second: which tiles of rows.
template <bool Unsigned, bool First, bool Second, int Blocks>
__attribute__((always_inline)) static inline void multiply() {
  if constexpr (Unsigned) {
    if constexpr (First) asm volatile("tdpbusd %tmm6, %tmm4, %tmm0");
    if constexpr (Second) asm volatile("tdpbusd %tmm6, %tmm5, %tmm1");
    if constexpr (First && Blocks == 2) asm volatile("tdpbusd %tmm7, %tmm4, %tmm2");
    if constexpr (Second && Blocks == 2) asm volatile("tdpbusd %tmm7, %tmm5, %tmm3");
  } else {
    if constexpr (First) asm volatile("tdpbssd %tmm6, %tmm4, %tmm0");
    if constexpr (Second) asm volatile("tdpbssd %tmm6, %tmm5, %tmm1");
    if constexpr (First && Blocks == 2) asm volatile("tdpbssd %tmm7, %tmm4, %tmm2");
    if constexpr (Second && Blocks == 2) asm volatile("tdpbssd %tmm7, %tmm5, %tmm3");
  }
}

static inline __m512i load(const std::int32_t* sums) { return _mm512_load_si512(sums); }

// Four tiles of sums as they are in memory: [block of channels][tile of pixels].
struct alignas(64) GroupSums {
  Sums of[2][2];
};

// A group's sums to its outputs. Two rows of pixels are max-pooled on the sums: requantising keeps their order.
template <int Blocks>
static void store_group(const avx512::Constants& e, const GroupSums& sums, const Group& group, bool pooled,
                        std::int64_t rows, std::int64_t channel, std::int64_t channels) {
  const std::int32_t* bias = e.bias + channel;
  const __m512i biases[2] = {_mm512_loadu_si512(bias), _mm512_loadu_si512(bias + 16 * (Blocks - 1))};
  if (pooled) {
    const auto get = [&](std::int64_t p, int block) __attribute__((always_inline)) {
      const Sums &upper = sums.of[block][0], &lower = sums.of[block][1];
      const __m512i above = _mm512_max_epi32(load(upper[2 * p]), load(upper[2 * p + 1]));
      const __m512i below = _mm512_max_epi32(load(lower[2 * p]), load(lower[2 * p + 1]));
      return _mm512_add_epi32(_mm512_max_epi32(above, below), biases[block]);
    };
    return avx512::store_pixels<Blocks>(e, get, group.out, group.outputs, channel, channels);
  }
  for (std::int64_t tile = 0; tile * rows < group.outputs; ++tile) {
    const auto get = [&](std::int64_t p, int block) __attribute__((always_inline)) {
      return _mm512_add_epi32(load(sums.of[block][tile][p]), biases[block]);
    };
    avx512::store_pixels<Blocks>(e, get, group.out + tile * rows, rows, channel, channels);
  }
}

}  // namespace octet::kernels::amx
