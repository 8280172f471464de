#include "kernels/plan/gathered.h"

#include <algorithm>
#include <cstring>

#include "kernels/plan/params.h"
#include "kernels/registry.h"
#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::kernels {
namespace {

const QEdge& edge_of(const QGraph& graph, EdgeId id) { return graph.edges[static_cast<std::size_t>(id)]; }

DType output_type(const QGraph& graph, const QNode& layer) {
  const QEdge& out = edge_of(graph, layer.output);
  return out.quantised ? out.quant.storage() : DType::f32;
}

// Sparse kernels leave absent neighbours out, and their bias holds no share of the zero point (rule 4): what lies
// outside of the image is a real 0 either way.
std::shared_ptr<ConvData> data_of(const QGraph& graph, const QNode& layer) {
  QNode sparse = layer;
  sparse.op = Op::sparse_conv;
  return conv_data(graph, sparse);
}

bool finish_alike(const Epilogue& a, const Epilogue& b) {
  return a.form == b.form && a.lo == b.lo && a.hi == b.hi && a.zero == b.zero;
}

// [O, C, kh, kw] of all layers -> [O, kh, kw, C], one below the other.
std::vector<std::int8_t> weights_of(std::span<const QNode* const> layers) {
  std::vector<std::int8_t> all;
  for (const QNode* layer : layers) {
    const Shape& s = layer->weight.shape();
    const std::int64_t taps = s[2] * s[3];
    const auto from = layer->weight.span<std::int8_t>();
    for (std::int64_t o = 0; o < s[0]; ++o) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        for (std::int64_t c = 0; c < s[1]; ++c)
          all.push_back(from[static_cast<std::size_t>((o * s[1] + c) * taps + tap)]);
      }
    }
  }
  return all;
}

struct Job {
  const Kernel* kernel;
  const StepArgs* args;
  std::byte* scratch;
  std::size_t scratch_stride;
};

void run_tiles(void* context, std::int64_t first, std::int64_t last, int worker) {
  const Job& job = *static_cast<const Job*>(context);
  job.kernel->run(*job.args, first, last, job.scratch + static_cast<std::size_t>(worker) * job.scratch_stride);
}

}  // namespace

std::string GatheredConv::refuse(const QGraph& graph, std::span<const QNode* const> layers) {
  if (graph.requantisation != Requantisation::one_multiply) return "the notebook's requantisation";
  for (const QNode* layer : layers) {
    const Window& w = layer->window;
    if (layer->op != Op::conv2d || layer->precision != Precision::int8) return layer->name + " is not INT8";
    if (layer->groups != 1 || w.stride_h != 1 || w.stride_w != 1 || w.dilation_h != 1 || w.dilation_w != 1) {
      return layer->name + " has groups, a stride or a dilation";
    }
    const QNode& first = *layers.front();
    if (layer->inputs != first.inputs || w != first.window || output_type(graph, *layer) != output_type(graph, first) ||
        !finish_alike(data_of(graph, *layer)->params.epilogue, data_of(graph, first)->params.epilogue)) {
      return layer->name + " has another input, window or range than " + first.name;
    }
  }
  return "";
}

GatheredConv::GatheredConv(const QGraph& graph, std::span<const QNode* const> layers, Isa isa) {
  const FloatEnvironment environment;
  const std::string reason = refuse(graph, layers);
  require(reason.empty(), "convolutions at chosen pixels: {}", reason);
  const QNode& first = *layers.front();
  window_ = first.window, type_ = output_type(graph, first);
  data_ = data_of(graph, first);
  data_->bias.clear(), data_->multiplier.clear();
  for (const QNode* layer : layers) {
    const auto data = data_of(graph, *layer);
    const auto count = static_cast<std::ptrdiff_t>(layer->weight.shape()[0]);
    data_->bias.insert(data_->bias.end(), data->bias.begin(), data->bias.begin() + count);
    data_->multiplier.insert(data_->multiplier.end(), data->multiplier.begin(), data->multiplier.begin() + count);
    data_->params.epilogue.fits_int32 &= data->params.epilogue.fits_int32;
    channels_ += static_cast<int>(count);
  }
  data_->bias.resize(padded_channels(channels_)), data_->multiplier.resize(padded_channels(channels_));
  ConvParams& p = data_->params;
  p.epilogue.bias = data_->bias.data(), p.epilogue.multiplier = data_->multiplier.data();
  p.taps = static_cast<std::int32_t>(taps());
  const QuantParams& in = edge_of(graph, first.inputs[0]).quant;
  p.non_negative = std::min(in.lo, in.zero) >= 0, p.seven_bits = p.non_negative && std::max(in.hi, in.zero) <= 127;

  const auto depth = static_cast<std::int32_t>(first.weight.shape()[1]);
  const View rows{.type = in.storage(), .n = 1, .w = 1, .c = depth, .stride_w = depth};
  const View inputs[] = {rows, {.type = DType::s32, .n = 1, .w = 1, .c = p.taps}};
  const View out{.type = type_, .n = 1, .w = 1, .c = channels_, .stride_w = channels_};
  const StepArgs args{inputs, 2, out, &p, nullptr};
  kernel_ = choose("sparse_conv_s8", isa, args).kernel;
  data_->packed = Tensor(DType::u8, Shape{static_cast<std::int64_t>(kernel_->packed_bytes(args))});
  kernel_->pack(args, weights_of(layers).data(), data_->packed.raw());
  p.weights = data_->packed.raw();
}

void GatheredConv::run(const View& in, std::span<const std::int32_t> neighbours, const View& out, ThreadPool& pool) {
  if (out.w == 0) return;
  View map{.type = DType::s32, .n = 1, .w = out.w, .c = static_cast<std::int32_t>(taps())};
  map.data = reinterpret_cast<std::byte*>(const_cast<std::int32_t*>(neighbours.data()));
  map.stride_w = 1, map.stride_c = out.w;
  const View inputs[] = {in, map};
  const StepArgs args{inputs, 2, out, &data_->params, nullptr};
  constexpr std::size_t kAlignment = 4096;  // no two threads share a cache line
  const std::size_t bytes = kernel_->scratch_bytes == nullptr ? 0 : kernel_->scratch_bytes(args);
  const std::size_t stride = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t needed = stride * static_cast<std::size_t>(pool.threads()) + kAlignment;
  if (scratch_.size() < needed) scratch_.resize(needed);
  const auto address = reinterpret_cast<std::uintptr_t>(scratch_.data());
  std::byte* scratch = scratch_.data() + (kAlignment - address % kAlignment) % kAlignment;
  Job job{kernel_, &args, scratch, stride};
  pool.run(kernel_->tiles(args), run_tiles, &job);
}

}  // namespace octet::kernels
