// An oracle for sparse networks that knows neither rows nor rulebooks: every edge is a dense grid with a mask, and a
// sparse convolution is a dense 3D convolution, evaluated where the output is active. Sums are int64 and double.
#pragma once

#include <cmath>

#include "runtime/arithmetic.h"
#include "runtime/qgraph.h"
#include "tests/sparse_clouds.h"

namespace octet::test {

struct DenseEdge {
  SparseGrid grid;  // of a dense edge: z = 1
  std::int64_t channels = 1;
  std::vector<bool> active;     // [batch * cells]; all true for a dense edge
  std::vector<double> real;     // [batch * cells][channels]
  std::vector<std::int32_t> q;  // the same, of a quantised edge
  bool quantised() const { return !q.empty(); }
};

class SparseOracle {
 public:
  SparseOracle(const QGraph& graph, int batch) : graph_(graph), batch_(batch) {}

  std::vector<DenseEdge> run(const SparseTensor& input) {
    edges_.assign(graph_.edges.size(), {});
    DenseEdge& in = blank(graph_.input);
    in.active.assign(in.active.size(), false);
    const auto features = input.features.span<float>();
    for (std::size_t r = 0; r < input.keys.size(); ++r) {
      const auto at = static_cast<std::size_t>(input.keys[r]);
      in.active[at] = true;
      for (std::size_t c = 0; c < channels(in); ++c) in.real[at * channels(in) + c] = features[r * channels(in) + c];
    }
    for (const QNode& node : graph_.nodes) compute(node);
    return edges_;
  }

 private:
  static std::size_t channels(const DenseEdge& e) { return static_cast<std::size_t>(e.channels); }
  const QuantParams& quant(EdgeId id) const { return graph_.edges[static_cast<std::size_t>(id)].quant; }
  DenseEdge& edge(EdgeId id) { return edges_[static_cast<std::size_t>(id)]; }

  DenseEdge& blank(EdgeId id) {
    DenseEdge& e = edge(id);
    const Shape& s = graph_.edges[static_cast<std::size_t>(id)].shape;
    e.grid = s.rank() == 4 ? SparseGrid{s[1], s[2], s[3]} : SparseGrid{1, s[1], s[2]};
    e.channels = s[0];
    const auto cells = static_cast<std::size_t>(e.grid.cells() * batch_);
    e.active.assign(cells, true);
    const bool quantised = graph_.edges[static_cast<std::size_t>(id)].quantised;
    if (quantised) e.q.assign(cells * channels(e), quant(id).zero);
    if (!quantised) e.real.assign(cells * channels(e), 0.0);
    return e;
  }

  void compute(const QNode& node) {
    DenseEdge& out = blank(node.output);
    const DenseEdge& in = edge(node.inputs[0]);
    if (node.op == Op::sparse_conv) return convolve(node, in, out);
    if (node.op == Op::to_dense) return scatter(in, out);
    out.active = in.active;
    if (node.op == Op::concat) return join(node, out);
    const std::size_t c = channels(out);
    for (std::size_t i = 0; i < out.active.size() * c; ++i) {
      if (!out.active[i / c]) continue;
      if (node.op == Op::quantise) {
        out.q[i] = arithmetic::quantise(static_cast<float>(in.real[i]), quant(node.output));
      } else if (node.op == Op::dequantise) {
        out.real[i] = arithmetic::dequantise(in.q[i], quant(node.inputs[0]).step, quant(node.inputs[0]).zero);
      } else if (node.op == Op::batch_norm) {
        out.real[i] = in.real[i] * node.weight.span<float>()[i % c] + node.bias.span<float>()[i % c];
      } else if (node.op == Op::relu) {
        out.real[i] = std::max(in.real[i], 0.0);
      } else if (node.op == Op::add) {
        add(node, out, i);
      } else {
        fail("{}: the sparse oracle does not know {}", node.name, name_of(node.op));
      }
    }
  }

  void add(const QNode& node, DenseEdge& out, std::size_t i) {
    if (!out.quantised()) {
      for (const EdgeId input : node.inputs) out.real[i] += edge(input).real[i];
      if (node.activation == Activation::relu) out.real[i] = std::max(out.real[i], 0.0);
      return;
    }
    const QuantParams& to = quant(node.output);
    float sum = 0;
    for (const EdgeId input : node.inputs) {
      const float m = arithmetic::add_multiplier(quant(input).step, to.step);
      sum += static_cast<float>(edge(input).q[i] - quant(input).zero) * m;
    }
    const std::int32_t lo = node.activation == Activation::relu ? arithmetic::relu_lo(to) : to.lo;
    const float held = arithmetic::clamp(sum, static_cast<float>(lo - to.zero), static_cast<float>(to.hi - to.zero));
    out.q[i] = to.dead ? to.zero : arithmetic::round_even(held) + to.zero;
  }

  void join(const QNode& node, DenseEdge& out) {
    std::size_t offset = 0;
    for (const EdgeId input : node.inputs) {
      const DenseEdge& in = edge(input);
      for (std::size_t i = 0; i < in.active.size() * channels(in); ++i) {
        const std::size_t to = i / channels(in) * channels(out) + offset + i % channels(in);
        if (!out.quantised()) {
          out.real[to] = in.real[i];
        } else if (quant(input) == quant(node.output)) {
          out.q[to] = in.q[i];
        } else {
          const QuantParams &from = quant(input), &q = quant(node.output);
          const float p = static_cast<float>(in.q[i] - from.zero) * arithmetic::copy_multiplier(from.step, q.step);
          const float held = arithmetic::clamp(p, static_cast<float>(q.lo - q.zero), static_cast<float>(q.hi - q.zero));
          out.q[to] = q.dead ? q.zero : arithmetic::round_even(held) + q.zero;
        }
      }
      offset += channels(in);
    }
  }

  void scatter(const DenseEdge& in, DenseEdge& out) {
    const std::int64_t depth = in.grid.z;
    for (std::int64_t key = 0; key < in.grid.cells() * batch_; ++key) {
      const Cell cell = cell_of(in.grid, key);
      if (!in.active[static_cast<std::size_t>(key)]) continue;
      const auto pixel = static_cast<std::size_t>(out.grid.key(cell.batch, 0, cell.y, cell.x));
      for (std::size_t c = 0; c < channels(in); ++c) {
        const std::size_t to = pixel * channels(out) + c * static_cast<std::size_t>(depth) +
                               static_cast<std::size_t>(cell.z),
                          from = static_cast<std::size_t>(key) * channels(in) + c;
        if (in.quantised()) out.q[to] = in.q[from];
        if (!in.quantised()) out.real[to] = in.real[from];
      }
    }
  }

  // Whose sites an inverse convolution restores: those of the input of the one it names.
  const std::vector<bool>& restored(const std::string& name) {
    for (const QNode& node : graph_.nodes) {
      if (node.name == name) return edge(node.inputs[0]).active;
    }
    fail("no node '{}'", name);
  }

  // Every (output cell, tap) with the input cell it reads, whether that is active or not: a dense 3D convolution.
  // Inverse: a dense transposed convolution.
  template <class Pair>
  void each_pair(const QNode& node, const DenseEdge& in, const DenseEdge& out, Pair pair) {
    const SparseWindow& w = node.sparse;
    const SparseGrid& fine = w.inverse ? out.grid : in.grid;
    const SparseGrid& coarse = w.inverse ? in.grid : out.grid;
    for (std::int64_t key = 0; key < coarse.cells() * batch_; ++key) {
      const Cell o = cell_of(coarse, key);
      std::int64_t tap = 0;
      for (int kz = 0; kz < w.kernel[0]; ++kz) {
        for (int ky = 0; ky < w.kernel[1]; ++ky) {
          for (int kx = 0; kx < w.kernel[2]; ++kx, ++tap) {
            const std::int64_t input = brute_input(fine, w, o, kz, ky, kx);
            if (input >= 0) pair(tap, w.inverse ? input : key, w.inverse ? key : input);
          }
        }
      }
    }
  }

  void convolve(const QNode& node, const DenseEdge& in, DenseEdge& out) {
    if (node.sparse.inverse) {
      out.active = restored(node.inverse_of);
    } else if (node.sparse.submanifold) {
      out.active = in.active;
    } else {
      out.active.assign(out.active.size(), false);
      each_pair(node, in, out, [&](std::int64_t, std::int64_t to, std::int64_t from) {
        if (in.active[static_cast<std::size_t>(from)]) out.active[static_cast<std::size_t>(to)] = true;
      });
    }
    const std::size_t outputs = channels(out), inputs = channels(in);
    const auto taps = static_cast<std::size_t>(node.sparse.taps());
    const bool integer = node.precision == Precision::int8;
    std::vector<std::int64_t> sums(integer ? out.active.size() * outputs : 0);
    std::vector<double> reals(integer ? 0 : out.active.size() * outputs);
    const std::int64_t zero = quant(node.inputs[0]).zero;
    const auto* integers = integer ? node.weight.span<std::int8_t>().data() : nullptr;
    const auto* floats = integer ? nullptr : node.weight.span<float>().data();
    each_pair(node, in, out, [&](std::int64_t tap, std::int64_t to, std::int64_t from) {
      const std::size_t first = static_cast<std::size_t>(from) * inputs;
      for (std::size_t o = 0; o < outputs; ++o) {
        const std::size_t at = static_cast<std::size_t>(to) * outputs + o;
        const std::size_t w = (o * taps + static_cast<std::size_t>(tap)) * inputs;
        if (integer) {
          std::int64_t sum = 0;
          for (std::size_t c = 0; c < inputs; ++c) sum += std::int64_t{integers[w + c]} * (in.q[first + c] - zero);
          sums[at] += sum;
        } else {
          for (std::size_t c = 0; c < inputs; ++c) reals[at] += static_cast<double>(floats[w + c]) * in.real[first + c];
        }
      }
    });
    for (std::size_t i = 0; i < out.active.size() * outputs; ++i) {
      const std::size_t o = i % outputs;
      if (!out.active[i / outputs]) continue;
      if (integer) {
        const QuantParams& to = quant(node.output);
        const std::int32_t lo = node.activation == Activation::relu ? arithmetic::relu_lo(to) : to.lo;
        const float m = arithmetic::multiplier(quant(node.inputs[0]).step, node.weight_step[o], to.step);
        const auto acc = static_cast<std::int32_t>(sums[i] + node.bias_q[o]);
        out.q[i] = to.dead ? to.zero : arithmetic::requantise(acc, m, lo, to.hi, to.zero);
      } else {
        out.real[i] = reals[i] + (node.bias.empty() ? 0.0 : static_cast<double>(node.bias.span<float>()[o]));
        if (node.activation == Activation::relu) out.real[i] = std::max(out.real[i], 0.0);
      }
    }
  }

  const QGraph& graph_;
  int batch_;
  std::vector<DenseEdge> edges_;
};

}  // namespace octet::test
