// The oracle for Program: a QGraph interpreted layer by layer over plain NCHW arrays, integers in int64 and reals in
// double. It shares no code with kernels/: each rule of the contract is written out again from the design, in the
// slowest obvious way. Real layers come with the largest error that any order of float32 operations may have.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/error.h"
#include "runtime/qgraph.h"

namespace octet::test {

constexpr double kUlp = 0x1p-24;    // half a unit in the last place of 1.0f: the error of one rounding
constexpr double kTiny = 0x1p-149;  // the error of one rounding among subnormals

// One edge for a whole batch, in NCHW order. `bound` is how far a float32 computation may be from `real`.
struct Values {
  std::vector<std::int32_t> q;
  std::vector<double> real;
  std::vector<double> bound;
  bool operator==(const Values&) const = default;
};

struct Extent {
  std::int64_t c = 1, h = 1, w = 1;
  std::int64_t size() const { return c * h * w; }
  std::int64_t at(std::int64_t n, std::int64_t ch, std::int64_t y, std::int64_t x) const {
    return ((n * c + ch) * h + y) * w + x;
  }
};
inline Extent extent_of(const Shape& s) {
  return s.rank() == 3 ? Extent{s[0], s[1], s[2]} : Extent{s.elements(), 1, 1};
}

class Interpreter {
 public:
  Interpreter(const QGraph& graph, std::int64_t batch) : graph_(graph), batch_(batch) {}

  // The node's output from the values of its inputs.
  Values compute(const QNode& node, const std::vector<const Values*>& inputs) const {
    switch (node.op) {
      case Op::conv2d:
      case Op::conv_transpose2d:
      case Op::linear:
        return weighted(node, *inputs[0]);
      case Op::max_pool:
        return max_pool(node, *inputs[0]);
      case Op::avg_pool:
      case Op::global_avg_pool:
        return average(node, *inputs[0]);
      case Op::add:
        return node.precision == Precision::int8 ? add_integers(node, inputs) : add_reals(node, inputs);
      case Op::concat:
        return concat(node, inputs);
      case Op::flatten:
        return *inputs[0];
      case Op::quantise:
        return quantise(node, *inputs[0]);
      case Op::dequantise:
        return dequantise(node, *inputs[0]);
      case Op::batch_norm:
      case Op::relu:
      case Op::relu6:
        return affine(node, *inputs[0]);
      case Op::sigmoid:
      case Op::hard_sigmoid:
      case Op::hard_swish:
      case Op::leaky_relu:
      case Op::clip:
        return function(node, *inputs[0]);
      case Op::upsample:
      case Op::pad:
        return moved(node, *inputs[0]);
      case Op::mul:
        return product(node, *inputs[0], *inputs[1]);
      case Op::softmax:
        return softmax(node, *inputs[0]);
      case Op::sparse_conv:  // tests/test_sparse_network.cpp has an oracle of its own
      case Op::to_dense:
      case Op::custom:
        break;
    }
    fail("{}: the interpreter does not know this operation", node.name);
  }

  // The whole graph from its input; real values carry the bound of everything before them.
  std::vector<Values> run(const Values& input) const {
    std::vector<Values> edges(graph_.edges.size());
    edges[index(graph_.input)] = input;
    for (const QNode& node : graph_.nodes) {
      std::vector<const Values*> inputs;
      for (const EdgeId edge : node.inputs) inputs.push_back(&edges[index(edge)]);
      edges[index(node.output)] = compute(node, inputs);
    }
    return edges;
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  const QEdge& edge(EdgeId id) const { return graph_.edges[index(id)]; }
  Extent extent(EdgeId id) const { return extent_of(edge(id).shape); }
  Values blank(EdgeId id) const {
    const auto size = index(extent(id).size() * batch_);
    Values v;
    if (edge(id).quantised) {
      v.q.assign(size, 0);
    } else {
      v.real.assign(size, 0.0), v.bound.assign(size, 0.0);
    }
    return v;
  }

  // Rules 7 and 8. The product of two floats is exact in double, so one rounding to float is IEEE's multiplication.
  std::int32_t clamp_and_round(const QNode& node, const QuantParams& out, float value) const {
    double lo = out.lo - out.zero, hi = out.hi - out.zero;
    if (node.activation != Activation::none) lo = std::max(lo, 0.0);
    if (node.activation == Activation::relu6) {
      const auto inverse = static_cast<float>(1.0 / static_cast<double>(out.step));
      hi = std::min(hi, std::nearbyint(static_cast<double>(static_cast<float>(6.0 * static_cast<double>(inverse)))));
    }
    if (out.dead) lo = hi = 0;  // rule 3
    return static_cast<std::int32_t>(std::nearbyint(std::min(std::max(static_cast<double>(value), lo), hi))) + out.zero;
  }
  static float times(float a, float b) { return static_cast<float>(static_cast<double>(a) * static_cast<double>(b)); }
  std::int32_t requantise(const QNode& node, const QuantParams& out, std::int64_t acc, float m) const {
    require(acc > -(std::int64_t{1} << 31) && acc < (std::int64_t{1} << 31), "{}: accumulator {}", node.name, acc);
    return clamp_and_round(node, out, times(static_cast<float>(acc), m));
  }
  void activate(const QNode& node, double& value) const {
    if (node.activation != Activation::none) value = std::max(value, 0.0);
    if (node.activation == Activation::relu6) value = std::min(value, 6.0);
  }

  // Calls visit(input index or -1 for padding, tap) for each tap of a window over channel `c`.
  template <class Visit>
  static void window(const Window& w, const Extent& in, std::int64_t n, std::int64_t c, std::int64_t oy,
                     std::int64_t ox, Visit visit) {
    for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
        const std::int64_t y = oy * w.stride_h - w.pad_top + ky * w.dilation_h;
        const std::int64_t x = ox * w.stride_w - w.pad_left + kx * w.dilation_w;
        const bool inside = y >= 0 && x >= 0 && y < in.h && x < in.w;
        visit(inside ? in.at(n, c, y, x) : -1, ky * w.kernel_w + kx);
      }
    }
  }
  template <class Visit>
  void each_output(const Extent& out, Visit visit) const {
    std::int64_t i = 0;
    for (std::int64_t n = 0; n < batch_; ++n) {
      for (std::int64_t c = 0; c < out.c; ++c) {
        for (std::int64_t y = 0; y < out.h; ++y) {
          for (std::int64_t x = 0; x < out.w; ++x) visit(index(i++), n, c, y, x);
        }
      }
    }
  }

  // The transpose: every input element is asked where its taps land, and those that land on (oy, ox) are visited.
  template <class Visit>
  static void scatter(const Window& w, const Extent& in, std::int64_t n, std::int64_t c, std::int64_t oy,
                      std::int64_t ox, Visit visit) {
    for (std::int64_t y = 0; y < in.h; ++y) {
      for (std::int64_t x = 0; x < in.w; ++x) {
        for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
          for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
            const bool lands = y * w.stride_h + ky * w.dilation_h - w.pad_top == oy &&
                               x * w.stride_w + kx * w.dilation_w - w.pad_left == ox;
            if (lands) visit(in.at(n, c, y, x), ky * w.kernel_w + kx);
          }
        }
      }
    }
  }

  // Convolutions and linear. Calls visit(input index or -1, weight index) for every product of one output.
  template <class Visit>
  void products(const QNode& node, std::int64_t n, std::int64_t o, std::int64_t y, std::int64_t x, Visit visit) const {
    const Extent in = extent(node.inputs[0]);
    const std::int64_t per_output = node.weight.elements() / node.weight.shape()[0];
    if (node.op == Op::linear) {
      for (std::int64_t f = 0; f < per_output; ++f) visit(n * in.size() + f, o * per_output + f);
      return;
    }
    const std::int64_t group_in = in.c / node.groups, group_out = node.weight.shape()[0] / node.groups;
    const std::int64_t taps = std::int64_t{node.window.kernel_h} * node.window.kernel_w;
    if (node.op == Op::conv_transpose2d) {
      for (std::int64_t c = 0; c < group_in; ++c) {
        scatter(node.window, in, n, o / group_out * group_in + c, y, x,
                [&](std::int64_t from, std::int64_t tap) { visit(from, o * per_output + c * taps + tap); });
      }
      return;
    }
    for (std::int64_t c = 0; c < group_in; ++c) {
      window(node.window, in, n, o / group_out * group_in + c, y, x,
             [&](std::int64_t from, std::int64_t tap) { visit(from, o * per_output + c * taps + tap); });
    }
  }

  Values weighted(const QNode& node, const Values& in) const {
    Values out = blank(node.output);
    each_output(extent(node.output), [&](std::size_t i, auto n, auto o, auto y, auto x) {
      if (node.precision == Precision::int8) {
        integer_sum(node, in, out, i, n, o, y, x);
      } else {
        real_sum(node, in, out, i, n, o, y, x);
      }
    });
    return out;
  }

  void integer_sum(const QNode& node, const Values& in, Values& out, std::size_t i, std::int64_t n, std::int64_t o,
                   std::int64_t y, std::int64_t x) const {
    const QEdge &from = edge(node.inputs[0]), &to = edge(node.output);
    const auto weight = node.weight.span<std::int8_t>();
    std::int64_t acc = node.bias_q[index(o)];
    products(node, n, o, y, x, [&](std::int64_t k, std::int64_t w) {
      if (k >= 0)
        acc += std::int64_t{in.q[index(k)] - from.quant.zero} * weight[index(w)];  // padding is the zero point
    });
    const double scale = static_cast<double>(from.quant.step) * static_cast<double>(node.weight_step[index(o)]);
    if (!to.quantised) {
      out.real[i] = times(static_cast<float>(acc), static_cast<float>(scale));  // rule 13, exact
    } else if (graph_.requantisation == Requantisation::notebook) {
      const float scaled = times(static_cast<float>(acc), to.notebook_scale);
      const float divisor = times(from.notebook_scale, node.notebook_weight_scale);
      out.q[i] = clamp_and_round(node, to.quant, scaled / divisor);
    } else {
      const auto m = static_cast<float>(scale / static_cast<double>(to.quant.step));
      out.q[i] = requantise(node, to.quant, acc, m);
    }
  }

  // k products and a bias summed in any order: k + 1 roundings at most touch each term (Higham, 3.1).
  void real_sum(const QNode& node, const Values& in, Values& out, std::size_t i, std::int64_t n, std::int64_t o,
                std::int64_t y, std::int64_t x) const {
    const auto weight = node.weight.span<float>();
    double sum = node.bias.empty() ? 0.0 : static_cast<double>(node.bias.span<float>()[index(o)]);
    double magnitude = std::fabs(sum), inherited = 0;
    std::int64_t count = 1;
    products(node, n, o, y, x, [&](std::int64_t k, std::int64_t w) {
      ++count;
      if (k < 0) return;
      const auto factor = static_cast<double>(weight[index(w)]);
      sum += in.real[index(k)] * factor;
      inherited += in.bound[index(k)] * std::fabs(factor);
      magnitude += (std::fabs(in.real[index(k)]) + in.bound[index(k)]) * std::fabs(factor);
    });
    activate(node, sum);
    out.real[i] = sum;
    out.bound[i] = inherited + rounding(count + 1, magnitude);
  }
  static double rounding(std::int64_t operations, double magnitude) {
    const double n = static_cast<double>(operations) * kUlp;
    return n / (1 - n) * magnitude + static_cast<double>(operations) * kTiny;
  }

  Values max_pool(const QNode& node, const Values& in) const {
    const Extent from = extent(node.inputs[0]);
    Values out = blank(node.output);
    const bool integer = node.precision == Precision::int8;
    each_output(extent(node.output), [&](std::size_t i, auto n, auto c, auto y, auto x) {
      double best = -std::numeric_limits<double>::infinity(), bound = 0;
      window(node.window, from, n, c, y, x, [&](std::int64_t k, std::int64_t) {
        if (k < 0) return;
        best = std::max(best, integer ? in.q[index(k)] : in.real[index(k)]);
        if (!integer) bound = std::max(bound, in.bound[index(k)]);
      });
      if (integer) {
        out.q[i] = static_cast<std::int32_t>(best);
      } else {
        out.real[i] = best, out.bound[i] = bound;
      }
    });
    return out;
  }

  // Nearest upsampling and borders of zeros: the zero point where no input is.
  Values moved(const QNode& node, const Values& in) const {
    const Extent from = extent(node.inputs[0]);
    const Window& w = node.window;
    Values out = blank(node.output);
    each_output(extent(node.output), [&](std::size_t i, auto n, auto c, auto y, auto x) {
      const std::int64_t sy = y - w.pad_top, sx = x - w.pad_left;
      const bool inside = sy >= 0 && sx >= 0 && sy < from.h * w.stride_h && sx < from.w * w.stride_w;
      const std::size_t k = inside ? index(from.at(n, c, sy / w.stride_h, sx / w.stride_w)) : 0;
      if (node.precision == Precision::int8) {
        out.q[i] = inside ? in.q[k] : edge(node.inputs[0]).quant.zero;
      } else if (inside) {
        out.real[i] = in.real[k], out.bound[i] = in.bound[k];
      }
    });
    return out;
  }

  // PyTorch's count: the window cut to the padded input when padding counts, to the input when not.
  static std::int64_t counted(const QNode& node, const Window& w, const Extent& in, std::int64_t oy, std::int64_t ox,
                              std::int64_t inside) {
    if (!node.count_include_pad) return inside;
    const std::int64_t bottom = std::min<std::int64_t>(oy * w.stride_h - w.pad_top + w.kernel_h, in.h + w.pad_bottom);
    const std::int64_t right = std::min<std::int64_t>(ox * w.stride_w - w.pad_left + w.kernel_w, in.w + w.pad_right);
    return (bottom - (oy * w.stride_h - w.pad_top)) * (right - (ox * w.stride_w - w.pad_left));
  }

  Values average(const QNode& node, const Values& in) const {
    const Extent from = extent(node.inputs[0]);
    Window w = node.window;
    if (node.op == Op::global_avg_pool)
      w = {.kernel_h = static_cast<int>(from.h), .kernel_w = static_cast<int>(from.w)};
    Values out = blank(node.output);
    each_output(extent(node.output), [&](std::size_t i, auto n, auto c, auto y, auto x) {
      std::int64_t count = 0, acc = 0;
      double sum = 0, magnitude = 0, inherited = 0;
      window(w, from, n, c, y, x, [&](std::int64_t k, std::int64_t) {
        if (k < 0) return;
        ++count;
        if (node.precision == Precision::int8) {
          acc += in.q[index(k)] - edge(node.inputs[0]).quant.zero;
        } else {
          sum += in.real[index(k)], inherited += in.bound[index(k)];
          magnitude += std::fabs(in.real[index(k)]) + in.bound[index(k)];
        }
      });
      const auto divisor = static_cast<double>(counted(node, w, from, y, x, count));
      if (node.precision == Precision::int8) {
        const QuantParams& to = edge(node.output).quant;
        const double step_in = edge(node.inputs[0]).quant.step;
        out.q[i] = requantise(node, to, acc, static_cast<float>(step_in / (static_cast<double>(to.step) * divisor)));
      } else {
        out.real[i] = sum / divisor;
        out.bound[i] = (inherited + rounding(count + 2, magnitude)) / divisor + kTiny;
      }
    });
    return out;
  }

  // Rule 11.
  static float sixteen_bits(double ratio) {
    int exponent = 0;
    const double fraction = std::frexp(ratio, &exponent);
    return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(fraction, 16)), exponent - 16));
  }
  Values add_integers(const QNode& node, const std::vector<const Values*>& inputs) const {
    const QuantParams& to = edge(node.output).quant;
    Values out = blank(node.output);
    for (std::size_t i = 0; i < out.q.size(); ++i) {
      float sum = 0;
      for (std::size_t k = 0; k < inputs.size(); ++k) {
        const QuantParams& from = edge(node.inputs[k]).quant;
        const float m = sixteen_bits(static_cast<double>(from.step) / static_cast<double>(to.step));
        const float term = times(static_cast<float>(inputs[k]->q[i] - from.zero), m);
        sum = k == 0 ? term : sum + term;
      }
      out.q[i] = clamp_and_round(node, to, sum);
    }
    return out;
  }
  Values add_reals(const QNode& node, const std::vector<const Values*>& inputs) const {
    Values out = blank(node.output);
    for (std::size_t i = 0; i < out.real.size(); ++i) {
      double magnitude = 0;
      for (const Values* in : inputs) {
        out.real[i] += in->real[i], out.bound[i] += in->bound[i];
        magnitude += std::fabs(in->real[i]) + in->bound[i];
      }
      activate(node, out.real[i]);
      out.bound[i] += rounding(static_cast<std::int64_t>(inputs.size()) - 1, magnitude);
    }
    return out;
  }

  // Rule 10.
  Values concat(const QNode& node, const std::vector<const Values*>& inputs) const {
    const QEdge& to = edge(node.output);
    Values out = blank(node.output);
    std::int64_t offset = 0;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      const QEdge& from = edge(node.inputs[k]);
      const std::int64_t size = extent(node.inputs[k]).size(), total = extent(node.output).size();
      const bool copy = from.quant == to.quant;
      const auto m = static_cast<float>(static_cast<double>(from.quant.step) / static_cast<double>(to.quant.step));
      for (std::int64_t n = 0; n < batch_; ++n) {
        for (std::int64_t i = 0; i < size; ++i) {
          const std::size_t source = index(n * size + i), target = index(n * total + offset + i);
          if (!to.quantised) {
            out.real[target] = inputs[k]->real[source], out.bound[target] = inputs[k]->bound[source];
          } else {
            const std::int32_t q = inputs[k]->q[source];
            out.q[target] = copy ? q : requantise(node, to.quant, q - from.quant.zero, m);
          }
        }
      }
      offset += size;
    }
    return out;
  }

  Values quantise(const QNode& node, const Values& in) const {
    const QEdge& to = edge(node.output);
    auto inverse = static_cast<float>(1.0 / static_cast<double>(to.quant.step));
    if (graph_.requantisation == Requantisation::notebook) inverse = to.notebook_scale;
    Values out = blank(node.output);
    for (std::size_t i = 0; i < out.q.size(); ++i) {
      require(in.bound[i] == 0, "{}: the interpreter cannot quantise an uncertain value", node.name);
      out.q[i] = clamp_and_round(node, to.quant, times(static_cast<float>(in.real[i]), inverse));
    }
    return out;
  }
  Values dequantise(const QNode& node, const Values& in) const {
    const QuantParams& from = edge(node.inputs[0]).quant;
    Values out = blank(node.output);
    for (std::size_t i = 0; i < out.real.size(); ++i) {
      out.real[i] = times(from.step, static_cast<float>(in.q[i] - from.zero));
    }
    return out;
  }

  Values affine(const QNode& node, const Values& in) const {
    const Extent to = extent(node.output);
    Values out = blank(node.output);
    each_output(to, [&](std::size_t i, auto, auto c, auto, auto) {
      out.real[i] = in.real[i], out.bound[i] = in.bound[i];
      if (node.op == Op::batch_norm) {
        const double scale = node.weight.span<float>()[index(c)], shift = node.bias.span<float>()[index(c)];
        const double magnitude = std::fabs(scale) * (std::fabs(in.real[i]) + in.bound[i]) + std::fabs(shift);
        out.real[i] = in.real[i] * scale + shift;
        out.bound[i] = in.bound[i] * std::fabs(scale) + rounding(2, magnitude);
      } else {
        out.real[i] = std::max(out.real[i], 0.0);
        if (node.op == Op::relu6) out.real[i] = std::min(out.real[i], 6.0);
      }
      activate(node, out.real[i]);
    });
    return out;
  }

  static double function_of(const QNode& node, double x) {
    const double a = node.alpha, b = node.beta;
    switch (node.op) {
      case Op::sigmoid:
        return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
      case Op::hard_sigmoid:
        return std::min(std::max(a * x + b, 0.0), 1.0);
      case Op::hard_swish:
        return x * std::min(std::max(x + 3, 0.0), 6.0) / 6;
      case Op::leaky_relu:
        return std::max(x, 0.0) + a * std::min(x, 0.0);
      default:
        return std::min(std::max(x, a), b);
    }
  }
  // The largest |slope|: how much of an input's error the function passes on.
  static double slope(const QNode& node) {
    switch (node.op) {
      case Op::sigmoid:
        return 0.25;
      case Op::hard_sigmoid:
        return std::fabs(static_cast<double>(node.alpha));
      case Op::hard_swish:
        return 1.5;
      case Op::leaky_relu:
        return std::max(1.0, std::fabs(static_cast<double>(node.alpha)));
      default:
        return 1.0;
    }
  }
  // Rule 12 for integers, written without a table.
  Values function(const QNode& node, const Values& in) const {
    const QEdge &from = edge(node.inputs[0]), &to = edge(node.output);
    Values out = blank(node.output);
    for (std::size_t i = 0; i < out.q.size(); ++i) {
      const double x = times(from.quant.step, static_cast<float>(in.q[i] - from.quant.zero));
      const auto inverse = static_cast<float>(1.0 / static_cast<double>(to.quant.step));
      out.q[i] = clamp_and_round(node, to.quant, times(static_cast<float>(function_of(node, x)), inverse));
    }
    for (std::size_t i = 0; i < out.real.size(); ++i) {
      out.real[i] = function_of(node, in.real[i]);
      // Any float32 way of computing it: a handful of roundings of terms no larger than |x| and 1.
      out.bound[i] =
          slope(node) * in.bound[i] + rounding(8, slope(node) * std::fabs(in.real[i]) + std::fabs(out.real[i]));
      if (node.op == Op::clip) out.bound[i] = in.bound[i];
    }
    return out;
  }

  Values product(const QNode& node, const Values& a, const Values& b) const {
    const Extent to = extent(node.output), by = extent(node.inputs[1]);
    Values out = blank(node.output);
    each_output(to, [&](std::size_t i, auto n, auto c, auto y, auto x) {
      const std::size_t k = by.h == to.h && by.w == to.w ? index(by.at(n, c, y, x)) : index(by.at(n, c, 0, 0));
      out.real[i] = a.real[i] * b.real[k];
      out.bound[i] = std::fabs(a.real[i]) * b.bound[k] + std::fabs(b.real[k]) * a.bound[i] + a.bound[i] * b.bound[k];
      out.bound[i] += rounding(1, std::fabs(out.real[i]) + out.bound[i]);
    });
    return out;
  }

  // Each exponent is off by the input's bound and a rounding, each sum by one more a term: relative errors, e^t - 1.
  Values softmax(const QNode& node, const Values& in) const {
    const Extent e = extent(node.output);
    Values out = blank(node.output);
    each_output(e, [&](std::size_t i, auto n, auto, auto y, auto x) {
      double top = -std::numeric_limits<double>::infinity(), sum = 0, off = 0;
      for (std::int64_t c = 0; c < e.c; ++c) top = std::max(top, in.real[index(e.at(n, c, y, x))]);
      for (std::int64_t c = 0; c < e.c; ++c) {
        const std::size_t k = index(e.at(n, c, y, x));
        sum += std::exp(in.real[k] - top);
        off = std::max(off, in.bound[k] + kUlp * std::fabs(in.real[k] - top));
      }
      out.real[i] = std::exp(in.real[i] - top) / sum;
      out.bound[i] = out.real[i] * std::expm1(2 * off + static_cast<double>(e.c + 8) * kUlp) + kTiny;
    });
    return out;
  }

  const QGraph& graph_;
  std::int64_t batch_;
};

}  // namespace octet::test
