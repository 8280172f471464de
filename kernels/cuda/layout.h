// How activations lie in a CUDA program's arena. Every activation is NHWC:
//
//     element (n, y, x, c) at  data + ((n * h + y) * w + x) * pitch + c * size_of(type)        pitch: bytes of one
//     pixel
//
//   pitch = 4 bytes              for at most 4 bytes of channels (a photo's 3 channels as s8): one load is one pixel
//         = a multiple of 16     for everything else, so that cp.async, TMA and 16-byte vectors see aligned rows of a
//                                16-byte aligned arena; the mma's K of 32 may span two pixels' padding
//
//  - No halos: kernels test for the edge. Padding is zero_in, which is not 0 on affine edges.
//  - A slice of a concatenation that its producer writes in place starts at a multiple of 16 bytes and has the whole's
//    pitch; other slices are copied. So a view of pitch >= 16 is always 16-byte aligned.
//  - Kernels may READ the bytes between the last channel and the next multiple of 16: they hold anything (a
//    neighbouring slice, a former tenant), and packed weights are 0 there. For floats that is not enough (0 * NaN):
//    float kernels stop at the last channel.
//  - Kernels never WRITE past the last channel, except that a small pixel (never a slice) may be stored as one word.
//  - The network's input and output are the caller's layouts (u8 photos [n, H, W, 3], f32 NCHW), not these.
//
// `pixel_pitch` is the one definition; the views that a kernel gets have it as stride_w (in elements).
#pragma once

#include <cstdint>

#include "runtime/dtype.h"

namespace octet::kernels::cuda {

constexpr std::int64_t kVectorBytes = 16;  // of one cp.async, one vector load, one unit of TMA's strides
constexpr std::int64_t kSmallPixel = 4;

// Bytes of one pixel of `channels` channels.
constexpr std::int64_t pixel_pitch(std::int64_t channels, DType type) {
  const std::int64_t bytes = channels * size_of(type);
  return bytes <= kSmallPixel ? kSmallPixel : (bytes + kVectorBytes - 1) / kVectorBytes * kVectorBytes;
}

}  // namespace octet::kernels::cuda
