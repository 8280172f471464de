// Sparse convolution in plain loops: sums of kLanes channels, which the compiler turns into what its vectors can do.
#pragma once

#include "kernels/cpu/portable.h"
#include "kernels/cpu/sparse_conv.h"

namespace octet::kernels::sparse {

template <class T>
struct PlainVector {
  T lane[8];
};

// Inputs of 8 or 16 bits, widened to 16 as they are gathered: Input is what lies in memory.
template <class Input>
struct PlainReader {
  std::int64_t channels;
  explicit PlainReader(const StepArgs& args) : channels(args.inputs[0].c) {}
  template <int kRows>
  void stage_as(const std::byte* from, std::uint32_t* to) const {
    const auto* row = reinterpret_cast<const Input*>(from);
    for (std::int64_t c = 0; c < channels; c += 2 * kChunk, to += kRows * kChunk) {
      const std::int64_t count = channels - c < 2 * kChunk ? channels - c : 2 * kChunk;
      std::int16_t words[2 * kChunk] = {};
      for (std::int64_t i = 0; i < count; ++i) words[i] = row[c + i];
      std::memcpy(to, words, sizeof words);
    }
  }
};

template <class Input>
struct PlainIntegers {
  using Sum = PlainVector<std::int32_t>;
  struct Weights {
    std::int16_t pair[8][2];
  };
  using Scalar = std::int32_t;
  using Source = std::int8_t;
  using Weight = std::int16_t;
  static constexpr int kLanes = 8, kRows = 2, kBlocks = 1, kGroup = 2, kInputBytes = sizeof(Input);
  struct Reader : PlainReader<Input> {
    using PlainReader<Input>::PlainReader;
    void stage(const std::byte* from, std::uint32_t* to) const { this->template stage_as<kRows>(from, to); }
  };
  struct Pair {
    std::int16_t x[2];
  };
  static std::int64_t offset(const StepArgs&) { return 0; }
  static Sum load(const std::int32_t* from) {
    Sum sum;
    std::memcpy(&sum, from, sizeof sum);
    return sum;
  }
  static void store(std::int32_t* to, const Sum& sum) { std::memcpy(to, &sum, sizeof sum); }
  static Sum add(Sum a, const Sum& b) {
    for (int i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  static Weights load_weights(const std::int16_t* from) {
    Weights weights;
    std::memcpy(&weights, from, sizeof weights);
    return weights;
  }
  static Pair broadcast(const std::uint32_t* from) {
    Pair pair;
    std::memcpy(&pair, from, sizeof pair);
    return pair;
  }
  static void multiply_add(Sum& sum, Pair x, const Weights& w) {
    for (int i = 0; i < kLanes; ++i) sum.lane[i] += x.x[0] * w.pair[i][0] + x.x[1] * w.pair[i][1];
  }
  static void finish(const StepArgs& args, const std::int32_t* sums, std::int64_t channels, std::int64_t from,
                     std::int64_t rows) {
    const View& out = args.output;
    const Epilogue& e = static_cast<const ConvParams*>(args.params)->epilogue;
    for (std::int64_t r = 0; r < rows; ++r) {
      portable::store_channels(e, out.type, portable::pixel(out, 0, 0, from + r), 0, out.c, sums + r * channels);
    }
  }
};

}  // namespace octet::kernels::sparse
