// Resizing equal to Pillow's Image.resize for 8-bit RGB, byte for byte.
//
// A separable convolution: the filter is stretched by the scale when shrinking (so every source pixel counts), its
// weights are normalised in double and then rounded to fixed point with 22 fraction bits. Between the passes pixels are
// clipped and stored in 8 bits, so the order of the passes shows in the result; a pass that changes nothing is skipped.
// Pillow's default filter is bicubic (a = -0.5); resize((224, 224)) in the notebook means that.
#pragma once

#include <cstdint>

#include "runtime/io/image.h"

namespace octet {

enum class Filter : std::uint8_t { bicubic, bilinear };  // Pillow's BICUBIC and BILINEAR

// `horizontal_first` is Pillow before 13.0 (checked with 9.4 to 12.3), and what Octet's networks are trained and
// checked with. Pillow 13.0 runs the vertical pass first for images that lose more than twice as many rows as columns;
// `pillow13` follows it. The two differ by one step in a few pixels of such tall photos (by up to 7 on pure noise), and
// nowhere else.
enum class Passes : std::uint8_t { horizontal_first, pillow13 };

// Throws Error unless 1 <= width, height <= kMaxImageSide.
Image resize(const Image& image, int width, int height, Filter filter = Filter::bicubic,
             Passes passes = Passes::horizontal_first);

// torchvision's Resize(size): the shorter side becomes `size`, the longer int(size * longer / shorter), cut, not
// rounded. An image whose shorter side is `size` already is returned as it is. Throws Error when the longer becomes too
// long.
Image resize_shorter_side(const Image& image, int size, Filter filter = Filter::bicubic);

// torchvision's CenterCrop(size): left = round((width - size) / 2), halves to even as Python rounds. torchvision pads a
// smaller image with black; this throws Error.
Image centre_crop(const Image& image, int width, int height);

}  // namespace octet
