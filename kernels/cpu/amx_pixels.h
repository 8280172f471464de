// Which output pixels a multiplication on the tile unit computes together, and where their inputs and outputs lie.
//
// A tile takes up to 16 pixels whose inputs lie a constant step apart. A row of the image is such a run of pixels; so
// is a whole image when nothing lies between its rows (a 1x1 convolution of stride 1 over an input without a halo):
// then small images fill their tiles (7 x 7 = 49 = 4 tiles of 13, where 7 rows of 7 would take 7). Two short rows with
// the halo between them are one too (7 + 2 + 7 = 16): what comes out for the halo's pixels is stored where the next
// real pixel is stored right afterwards. A group is two tiles. With a fused 2x2 max-pool it is the same columns of two
// rows, and its outputs are half a tile's.
#pragma once

#include "kernels/cpu/direct_conv.h"

namespace octet::kernels::amx {

constexpr std::int64_t kPixels = 16;  // rows of a tile

struct Group {
  const std::byte* first = nullptr;
  const std::byte* second = nullptr;  // null: there is only one tile
  std::int64_t outputs = 0;
  std::byte* out[2 * kPixels] = {};
};

namespace {  // (no weak symbols from files of one instruction set)

class Groups {
 public:
  Groups(const StepArgs& args, const direct::Geometry& geometry)
      : in_(args.inputs[0]), out_(args.output), g_(geometry) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    const Window& w = p.window;
    pooled_ = p.fused_max_pool;
    out_size_ = p.epilogue.form == Epilogue::Form::real ? 4 : 1;
    flat_ = direct::runs_flat(args);
    step_h_ = w.stride_h, pad_top_ = w.pad_top, pad_left_ = w.pad_left;
    segments_ = flat_ ? 1 : out_.h;
    length_ = flat_ ? std::int64_t{out_.h} * out_.w : out_.w * (pooled_ ? 2 : 1);
    const std::int64_t least = (length_ + kPixels - 1) / kPixels;
    // Tiles of equal size; pooling needs even ones.
    rows_ = (length_ + least - 1) / least;
    if (pooled_) rows_ += rows_ % 2;
    const std::int64_t row_step = in_.stride_h * w.stride_h;  // from one output row's inputs to the next one's
    const bool joins = !flat_ && !pooled_ && out_.h >= 2 && row_step % g_.pixel_step == 0;
    if (joins && out_.w + row_step / g_.pixel_step <= kPixels) {
      gap_ = row_step / g_.pixel_step - out_.w;
      segments_ = (out_.h + 1) / 2;
      rows_ = length_ = 2 * out_.w + gap_;
    }
    per_segment_ = (length_ + rows_ - 1) / rows_;
    tiles_ = per_segment_ * segments_ * out_.n;
  }

  std::int64_t rows() const { return rows_; }  // of each tile
  std::int64_t count() const { return pooled_ ? tiles_ : (tiles_ + 1) / 2; }

  // Group `index`; its outputs' addresses are those of channel 0.
  void find(std::int64_t index, Group& group) const {
    if (pooled_) {
      tile(index, group.first, group.out);
      group.second = group.first + g_.pool_row_step;
      group.outputs = rows_ / 2;
      return;
    }
    tile(2 * index, group.first, group.out);
    group.second = nullptr;
    if (2 * index + 1 < tiles_) tile(2 * index + 1, group.second, group.out + rows_);
    group.outputs = group.second == nullptr ? rows_ : 2 * rows_;
  }

 private:
  void tile(std::int64_t index, const std::byte*& input, std::byte** out) const {
    // 32 bits are enough for the number of tiles, and divide twice as fast.
    const auto t = static_cast<std::uint32_t>(index);
    const auto per_segment = static_cast<std::uint32_t>(per_segment_), segments = static_cast<std::uint32_t>(segments_);
    const std::uint32_t segment = t / per_segment, n = segment / segments, y = segment % segments;
    // The last tile of a segment is moved back to end with it: pixels may be computed twice, with the same result.
    const std::int64_t after = std::int64_t{t % per_segment} * rows_;
    const std::int64_t x = after + rows_ <= length_ ? after : length_ - rows_;
    // (Of an odd number of joined rows the last two are taken together once more.)
    const std::int64_t oy = gap_ < 0 ? y : 2 * y + 1 < static_cast<std::uint32_t>(out_.h) ? 2 * y : out_.h - 2;
    const std::int64_t row = oy * (pooled_ ? 2 : 1) * step_h_ - pad_top_;
    input = reinterpret_cast<const std::byte*>(in_.at<std::uint8_t>(n, row, -pad_left_)) + x * g_.pixel_step;
    const std::int64_t step = out_.stride_w * out_size_;
    if (!flat_) {
      const std::int64_t first = pooled_ ? x / 2 : x, outputs = pooled_ ? rows_ / 2 : rows_;
      std::byte* to = out_.data + (n * out_.stride_n + oy * out_.stride_h) * out_size_ + first * step;
      if (gap_ >= 0) {
        std::byte* below = to + out_.stride_h * out_size_;
        for (std::int64_t i = 0; i < out_.w; ++i) out[i] = to + i * step, out[out_.w + gap_ + i] = below + i * step;
        for (std::int64_t i = 0; i < gap_; ++i) out[out_.w + i] = below;
        return;
      }
      for (std::int64_t i = 0; i < outputs; ++i, to += step) out[i] = to;
      return;
    }
    const auto width = static_cast<std::uint32_t>(out_.w), flat = static_cast<std::uint32_t>(x);
    std::int64_t left = width - flat % width;  // to the end of the output's row, which may have a halo
    const std::int64_t gap = (out_.stride_h - out_.w * out_.stride_w) * out_size_;
    std::byte* to = out_.data + (n * out_.stride_n + flat / width * out_.stride_h) * out_size_ + flat % width * step;
    for (std::int64_t i = 0; i < rows_; ++i) {
      out[i] = to;
      to += step;
      if (--left == 0) to += gap, left = width;
    }
  }

  const View& in_;
  const View& out_;
  const direct::Geometry& g_;
  bool pooled_ = false, flat_ = false;
  std::int64_t out_size_ = 1, step_h_ = 1, pad_top_ = 0, pad_left_ = 0;
  std::int64_t segments_ = 1, length_ = 1, rows_ = 1, per_segment_ = 1, tiles_ = 1;
  std::int64_t gap_ = -1;  // pixels between two rows that one tile takes together
};

}  // namespace

}  // namespace octet::kernels::amx
