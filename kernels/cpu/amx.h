// The tile unit: configuration, loads and stores, and what becomes of a tile of sums. Shared by the AMX kernels.
//
// The configuration is per thread and costs little: it is loaded at the start of a run() and released at its end. All
// tile instructions are assembly: g++ 12 declares _tile_loadconfig to read 8 of its 64 bytes and drops the other
// stores.
#pragma once

#include "kernels/cpu/avx512.h"

namespace octet::kernels::amx {

constexpr std::int64_t kPixels = 16;          // rows of a tile
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
#define OCTET_TILE_STORE(tile, to) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(std::int64_t{64}) : "memory")

static inline __m512i load(const std::int32_t* sums) { return _mm512_load_si512(sums); }

// One tile of pixels of one block to memory.
static inline void store_tile(const avx512::Constants& e, __m512 multiplier, const Sums& sums, std::int64_t pixels,
                              std::int64_t count, std::byte* out, std::int64_t pixel_step) {
  for (std::int64_t i = 0; i < pixels; ++i) avx512::store(e, multiplier, load(sums[i]), count, out + i * pixel_step);
}

// Two rows of pixels, max-pooled on the sums (requantising keeps their order).
static inline void store_pooled(const avx512::Constants& e, __m512 multiplier, const Sums& upper, const Sums& lower,
                                std::int64_t outputs, std::int64_t count, std::byte* out, std::int64_t pixel_step) {
  for (std::int64_t i = 0; i < outputs; ++i) {
    const __m512i above = _mm512_max_epi32(load(upper[2 * i]), load(upper[2 * i + 1]));
    const __m512i below = _mm512_max_epi32(load(lower[2 * i]), load(lower[2 * i + 1]));
    avx512::store(e, multiplier, _mm512_max_epi32(above, below), count, out + i * pixel_step);
  }
}

}  // namespace octet::kernels::amx
