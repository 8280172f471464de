// Transposed convolutions, as ordinary ones. The outputs whose row is y0 modulo the stride meet only every stride-th
// row of the kernel, and their inputs move on by one row from each to the next: they are a plain convolution of stride
// 1 with that part of the kernel. So a transposed convolution of stride s is s * s small convolutions that share no
// work, and every fast kernel serves; only the places they write to are interleaved:
//
//     stride 2, kernel 3, pad 1, along one axis: out[2j] = w1 x[j];  out[2j + 1] = w2 x[j] + w0 x[j + 1]
//
// With kernel = stride (CenterPoint's up-sampling) each is a 1x1 convolution.
#include <fmt/format.h>
#include <cstring>
#include <optional>

#include "kernels/plan/planner.h"

namespace octet::kernels {
namespace {

// The part of a kernel that the outputs `phase`, `phase` + stride, ... meet along one axis.
struct Part {
  int phase = 0;
  int first_tap = 0, taps = 0;  // first_tap, first_tap + stride, ...; the last one comes first in the part
  int pad = 0;
  int outputs = 0;
};

// The parts along one axis; nothing where some outputs meet no tap or would start behind the first input.
std::optional<std::vector<Part>> parts_of(int kernel, int stride, int pad, int dilation, int outputs) {
  if (dilation != 1) return std::nullopt;
  std::vector<Part> parts;
  for (int phase = 0; phase < stride && phase < outputs; ++phase) {
    Part part{.phase = phase, .first_tap = (phase + pad) % stride};
    part.taps = part.first_tap < kernel ? (kernel - 1 - part.first_tap) / stride + 1 : 0;
    part.pad = part.taps - 1 - (phase + pad) / stride;
    part.outputs = (outputs - phase - 1) / stride + 1;
    if (part.taps == 0 || part.pad < 0) return std::nullopt;
    parts.push_back(part);
  }
  return parts;
}

// weight [O, C/groups, kh, kw] -> [O, C/groups, y.taps, x.taps].
Tensor part_of(const Tensor& weight, const Window& w, const Part& y, const Part& x) {
  const Shape& s = weight.shape();
  const auto size = static_cast<std::size_t>(size_of(weight.dtype()));
  Tensor part(weight.dtype(), Shape{s[0], s[1], y.taps, x.taps});
  std::byte* to = part.raw();
  for (std::int64_t kernel = 0; kernel < s[0] * s[1]; ++kernel) {
    for (int i = y.taps - 1; i >= 0; --i) {
      for (int j = x.taps - 1; j >= 0; --j, to += size) {
        const std::int64_t tap = std::int64_t{y.first_tap + i * w.stride_h} * s[3] + x.first_tap + j * w.stride_w;
        std::memcpy(to, weight.raw() + static_cast<std::size_t>(kernel * s[2] * s[3] + tap) * size, size);
      }
    }
  }
  return part;
}

// The convolution that makes the outputs of one part along each axis.
QNode convolution_of(const QNode& node, const Value& in, const Part& y, const Part& x) {
  QNode conv = node;
  conv.name = fmt::format("{}[{},{}]", node.name, y.phase, x.phase);
  conv.op = Op::conv2d;
  conv.weight = part_of(node.weight, node.window, y, x);
  // The trailing padding follows from the number of outputs; it is negative where some inputs meet no output.
  conv.window = {.kernel_h = y.taps,
                 .kernel_w = x.taps,
                 .pad_top = y.pad,
                 .pad_left = x.pad,
                 .pad_bottom = y.outputs - 1 - y.pad + y.taps - in.h,
                 .pad_right = x.outputs - 1 - x.pad + x.taps - in.w};
  conv.macs = std::int64_t{y.outputs} * x.outputs * conv.weight.elements();
  return conv;
}

}  // namespace

void Planner::lower_conv_transpose(const QNode& node) {
  const int input = node.inputs[0] == graph_.input ? real_input() : value_of_[node.inputs[0]];
  const int output = make_value(node.output);
  const Value& whole = layout_[output];
  const Window& w = node.window;
  const auto rows = parts_of(w.kernel_h, w.stride_h, w.pad_top, w.dilation_h, whole.h);
  const auto columns = parts_of(w.kernel_w, w.stride_w, w.pad_left, w.dilation_w, whole.w);
  const bool reference = options_.isa == Isa::reference && !options_.gpu;
  if (reference || !rows || !columns) {
    auto data = conv_data(graph_, node);
    set_input_range(data->params, layout_[input]);
    emit_weighted(node, typed("conv_transpose2d", layout_[input]), input, output, std::move(data));
    return;
  }
  const bool depthwise = node.groups > 1 && node.groups == layout_[input].c && node.weight.shape()[0] == node.groups;
  for (const Part& y : *rows) {
    for (const Part& x : *columns) {
      const QNode conv = convolution_of(node, layout_[input], y, x);
      auto data = conv_data(graph_, conv);
      set_input_range(data->params, layout_[input]);
      Value phase = layout_[output];
      phase.parent = output, phase.is_phase = true;
      phase.h = y.outputs, phase.w = x.outputs;
      phase.phase_y = y.phase, phase.phase_x = x.phase, phase.step_y = w.stride_h, phase.step_x = w.stride_w;
      const char* op = depthwise ? "depthwise" : "conv2d";
      emit_weighted(conv, typed(op, layout_[input]), input, layout_.add(phase), std::move(data)).step.completes.clear();
    }
  }
  steps_.back().step.completes = {{node.output, output}};
}

}  // namespace octet::kernels
