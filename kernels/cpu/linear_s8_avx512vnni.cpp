// linear_s8_avx512vnni: a fully connected layer is a 1x1 convolution over one row whose "pixels" are the images of the
// batch. Its features must lie side by side (h * w * c of one image without gaps); where they do not, they are
// gathered.
#include "kernels/cpu/avx512vnni.h"

namespace octet::kernels {
namespace {

using avx512vnni::flips;
using avx512vnni::Traits;

std::int64_t features(const View& in) { return std::int64_t{in.h} * in.w * in.c; }

bool dense(const View& in) {
  return in.stride_c == 1 && (in.w == 1 || in.stride_w == in.c) &&
         (in.h == 1 || in.stride_h == std::int64_t{in.w} * in.c);
}

// The same step seen as a convolution: one row, one pixel an image, all features as channels.
struct AsConvolution {
  View input;
  StepArgs args;

  AsConvolution(const StepArgs& original, const std::byte* data, std::int64_t image_step) : args(original) {
    const View& in = original.inputs[0];
    input = in;
    input.data = const_cast<std::byte*>(data);
    input.n = 1, input.h = 1, input.w = in.n, input.c = static_cast<std::int32_t>(features(in));
    input.stride_w = image_step, input.stride_h = image_step * in.n, input.stride_n = input.stride_h;
    args.inputs = &input;
    View& out = args.output;
    out.w = out.n, out.n = 1, out.h = 1;
    out.stride_w = original.output.stride_n, out.stride_h = out.stride_w * out.w, out.stride_n = out.stride_h;
  }
};

std::size_t packed_bytes(const StepArgs& args) {
  return direct::packed_bytes<Traits<false>>(AsConvolution(args, nullptr, features(args.inputs[0])).args);
}

void pack(const StepArgs& args, const void* weights, void* packed) {
  const AsConvolution conv(args, nullptr, features(args.inputs[0]));
  (flips(args) ? direct::pack<Traits<true>> : direct::pack<Traits<false>>)(conv.args, weights, packed);
}

std::int64_t tiles(const StepArgs& args) {
  return direct::tiles<Traits<false>>(AsConvolution(args, nullptr, features(args.inputs[0])).args);
}

std::size_t scratch_bytes(const StepArgs& args) {
  const View& in = args.inputs[0];
  return static_cast<std::size_t>(features(in) * in.n) + View::kReadableBeyond;
}

void gather(const View& in, std::uint8_t* to) {
  for (std::int64_t n = 0; n < in.n; ++n) {
    for (std::int64_t y = 0; y < in.h; ++y) {
      for (std::int64_t x = 0; x < in.w; ++x, to += in.c) {
        std::memcpy(to, in.at<std::uint8_t>(n, y, x), static_cast<std::size_t>(in.c));
      }
    }
  }
}

void run(const StepArgs& args, std::int64_t first, std::int64_t last, void* scratch) {
  const View& in = args.inputs[0];
  const bool in_place = dense(in) && (in.n == 1 || in.stride_n == features(in));
  if (!in_place) gather(in, static_cast<std::uint8_t*>(scratch));
  const AsConvolution conv(args, in_place ? in.data : static_cast<const std::byte*>(scratch), features(in));
  (flips(args) ? direct::run<Traits<true>> : direct::run<Traits<false>>)(conv.args, first, last, nullptr);
}

}  // namespace

extern const Kernel linear_s8_avx512vnni;
const Kernel linear_s8_avx512vnni = {
    .op = "linear_s8",
    .isa = "avx512vnni",
    .refuse = direct::refuse_notebook,
    .tiles = tiles,
    .run = run,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
};

}  // namespace octet::kernels
