// sparse_conv_f32_portable: plain loops.
#include "kernels/cpu/sparse_conv_portable.h"

namespace octet::kernels {
namespace {

struct Traits {
  using Sum = sparse::PlainVector<float>;
  using Weights = sparse::PlainVector<float>;
  using Scalar = float;
  using Source = float;
  using Weight = float;
  static constexpr int kLanes = 8, kRows = 2, kBlocks = 1, kGroup = 1, kInputBytes = 4;
  struct Reader {
    std::int64_t channels;
    explicit Reader(const StepArgs& args) : channels(args.inputs[0].c) {}
    void stage(const std::byte* from, std::uint32_t* to) const {
      for (std::int64_t c = 0; c < channels; c += sparse::kChunk, from += 64, to += kRows * sparse::kChunk) {
        const std::int64_t count = channels - c < sparse::kChunk ? channels - c : sparse::kChunk;
        std::memcpy(to, from, static_cast<std::size_t>(count * 4));
      }
    }
  };
  static std::int64_t offset(const StepArgs&) { return 0; }
  static Sum load(const float* from) {
    Sum sum;
    std::memcpy(&sum, from, sizeof sum);
    return sum;
  }
  static void store(float* to, const Sum& sum) { std::memcpy(to, &sum, sizeof sum); }
  static Sum add(Sum a, const Sum& b) {
    for (int i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  static Weights load_weights(const float* from) { return load(from); }
  static float broadcast(const std::uint32_t* from) {
    float x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static void multiply_add(Sum& sum, float x, const Weights& w) {
    for (int i = 0; i < kLanes; ++i) sum.lane[i] += x * w.lane[i];
  }
  static void finish(const StepArgs& args, const float* sums, std::int64_t channels, std::int64_t from,
                     std::int64_t rows) {
    const auto& p = *static_cast<const ConvParams*>(args.params);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* to = args.output.at<float>(0, 0, from + r);
      for (std::int64_t c = 0; c < args.output.c; ++c) {
        to[c] = arithmetic::clamp_real(sums[r * channels + c] + p.bias[c], p.lo, p.hi);
      }
    }
  }
};

}  // namespace

extern const Kernel sparse_conv_f32_portable;
const Kernel sparse_conv_f32_portable = sparse::kernel<Traits>("sparse_conv_f32", "portable", accept);

}  // namespace octet::kernels
