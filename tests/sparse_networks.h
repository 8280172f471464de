// Sparse networks for tests: a small U-Net with residual sums, a skip connection and inverse convolutions, and an
// encoder shaped like CenterPoint's; frames for them, and every edge of a run beside what the dense oracle says.
#pragma once

#include <doctest/doctest.h>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "kernels/plan/plan.h"
#include "tests/sparse_oracle.h"

namespace octet::test {

struct Norms {  // convolution, batch-norm, ReLU; observed behind
  Graph& g;
  EdgeId operator()(EdgeId conv) const {
    const std::string name = g.edges()[static_cast<std::size_t>(conv)].name;
    return g.observe(g.relu(name + ".relu", g.batch_norm(name + ".bn", conv, 1e-3f)), name + ".out");
  }
};

inline EdgeId residual_block(Graph& g, const std::string& name, EdgeId x, int channels) {  // a residual block
  const SparseConvOptions same{.submanifold = true};
  const EdgeId a = Norms{g}(g.sparse_conv(name + ".conv1", x, channels, same));
  const EdgeId b = g.batch_norm(name + ".bn2", g.sparse_conv(name + ".conv2", a, channels, same));
  const EdgeId sum = g.add(name + ".add", {g.observe(b, name + ".conv2.out"), x});
  return g.observe(g.relu(name + ".relu", sum), name + ".out");
}

// Odd channels everywhere; `flat`: a 2D grid.
inline Graph sparse_unet(bool flat) {
  const SparseGrid grid{flat ? 1 : 6, 11, 13};
  const int k = flat ? 1 : 3;
  Graph g("unet");
  EdgeId x = g.observe(g.sparse_input("points", 5, grid), "points");
  x = Norms{g}(g.sparse_conv("stem", x, 9, {.kernel = {k, 3, 3}, .submanifold = true, .bias = false}));
  const EdgeId fine = residual_block(g, "block1", x, 9);
  x = Norms{g}(
      g.sparse_conv("down1", fine, 20,
                    {.kernel = {k, 3, 3}, .stride = {k == 1 ? 1 : 2, 2, 2}, .padding = {k / 2, 1, 1}, .bias = false}));
  const EdgeId middle = residual_block(g, "block2", x, 20);
  x = Norms{g}(
      g.sparse_conv("down2", middle, 37, {.kernel = {k == 1 ? 1 : 2, 2, 2}, .stride = {k == 1 ? 1 : 2, 2, 2}}));
  x = Norms{g}(g.inverse_sparse_conv("up2", x, 20, "down2"));
  x = g.observe(g.concat("skip", {x, middle}), "skip.out");
  x = Norms{g}(g.inverse_sparse_conv("up1", x, 9, "down1", false));
  x = g.observe(g.add("last", {x, fine}), "last.out");
  x = Norms{g}(g.sparse_conv("wide", x, 33, {.kernel = {1, 3, 3}, .dilation = {1, 2, 1}, .submanifold = true}));
  g.set_output(g.to_dense("bev", x));
  return g;
}

inline Graph sparse_encoder() {
  Graph g("encoder");
  EdgeId x = g.observe(g.sparse_input("points", 5, {9, 12, 10}), "points");
  x = Norms{g}(g.sparse_conv("conv_input", x, 16, {.submanifold = true, .bias = false}));
  x = residual_block(g, "conv1", x, 16);
  x = Norms{g}(g.sparse_conv("conv2", x, 32, {.stride = {2, 2, 2}, .padding = {1, 1, 1}, .bias = false}));
  x = residual_block(g, "conv2.block", x, 32);
  x = Norms{g}(g.sparse_conv("conv4", x, 64, {.stride = {2, 2, 2}, .padding = {0, 1, 1}, .bias = false}));
  x = residual_block(g, "conv4.block", x, 64);
  x = Norms{g}(g.sparse_conv("extra", x, 128, {.kernel = {2, 1, 1}, .stride = {2, 1, 1}, .bias = false}));
  g.set_output(g.to_dense("bev", x));
  return g;
}

struct Made {
  Graph graph;
  QGraph integer;
  std::vector<SparseTensor> frames;  // of a batch of two each; one without sites, one with few, one that is crowded
};

inline Made make_sparse(Graph graph, calib::Scheme scheme, bool share, std::uint64_t seed) {
  Random random(seed);
  randomise_weights(graph, random, 0.0);
  const Shape in = graph.edges()[0].shape;
  Made made{std::move(graph), {}, {}};
  for (const double share_of_cells : {0.15, 0.0, 0.01, 0.35}) {
    made.frames.push_back(random_sparse(random, grid_of(in), 2, static_cast<int>(in[0]), share_of_cells));
  }
  calib::CalibrationOptions options;
  options.range.scheme = scheme, options.share_add_range = share, options.batch = 2;
  ThreadPool pool(1);
  calib::Calibrator calibrator(made.graph, options, pool);
  for (const SparseTensor& frame : made.frames) calibrator.observe(frame);
  const calib::Ranges ranges = calib::ranges_from_json(calib::to_json(calibrator.ranges()), "ranges");
  made.integer = calib::quantise(made.graph, ranges);
  return made;
}

using Edges = std::map<EdgeId, std::vector<float>>;  // row by row; dense edges in (n, y, x, c) order

inline std::vector<float> values_of(const View& v) {
  std::vector<float> values;
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t y = 0; y < v.h; ++y) {
      for (std::int64_t x = 0; x < v.w; ++x) {
        for (std::int64_t c = 0; c < v.c; ++c) {
          if (v.type == DType::f32) values.push_back(*v.at<float>(n, y, x, c));
          if (v.type == DType::u8) values.push_back(*v.at<std::uint8_t>(n, y, x, c));
          if (v.type == DType::s8) values.push_back(*v.at<std::int8_t>(n, y, x, c));
          if (v.type == DType::s16) values.push_back(*v.at<std::int16_t>(n, y, x, c));
        }
      }
    }
  }
  return values;
}

inline Edges run_sparse(Context& context, const Program& program, const SparseTensor& frame) {
  Edges edges;
  const Shape& s = program.output_like.shape();
  Tensor output(DType::f32, Shape{frame.batch, s[0], s[1], s[2]});
  const Context::Hook hook = [&](EdgeId edge, const View& view) { edges[edge] = values_of(view); };
  context.run(frame, output, &hook);
  Tensor again(DType::f32, output.shape());
  context.run(frame, again);
  CHECK(std::ranges::equal(output.span<float>(), again.span<float>()));
  return edges;
}

// What the oracle makes of every edge, row by row as the hook sees it.
inline std::vector<std::vector<double>> wanted_of(const QGraph& graph, const SparseTensor& frame) {
  SparseOracle oracle(graph, frame.batch);
  std::vector<std::vector<double>> wanted;
  for (const DenseEdge& e : oracle.run(frame)) {
    const auto channels = static_cast<std::size_t>(e.channels);
    std::vector<double>& values = wanted.emplace_back();
    for (std::size_t i = 0; i < e.active.size() * channels; ++i) {
      if (e.active[i / channels]) values.push_back(e.quantised() ? e.q[i] : e.real[i]);
    }
  }
  return wanted;
}

// Integers equal exactly, reals within a bound that sums of this size allow.
inline void compare_edges(const QGraph& graph, const std::vector<std::vector<double>>& wanted, const Edges& edges,
                          const std::string& what) {
  for (const auto& [id, values] : edges) {
    const auto at = static_cast<std::size_t>(id);
    const double allowed = graph.edges[at].quantised ? 0.0 : 1e-3;
    REQUIRE_MESSAGE(values.size() == wanted[at].size(), what << ": " << graph.edges[at].name);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double off = std::fabs(static_cast<double>(values[i]) - wanted[at][i]);
      wrong += !(off <= allowed * std::max(1.0, std::fabs(wanted[at][i])));
    }
    CHECK_MESSAGE(wrong == 0, what << ": " << graph.edges[at].name << ": " << wrong << " of " << values.size());
  }
}

}  // namespace octet::test
