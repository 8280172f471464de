// Hand-made networks for the Program tests, one for each thing that the planner does to memory.
#pragma once

#include "tests/program_oracle.h"
#include "tests/random_graph.h"

namespace octet::test {

struct Quantised {
  QGraph graph;
  Tensor input;
};

// Seeded weights, every edge observed, calibrated on a seeded input of `batch` images.
inline Quantised quantised(Graph graph, calib::Scheme scheme, int batch = 3, std::uint64_t seed = 7) {
  Random random(seed);
  randomise_weights(graph, random, 0.0);
  observe_all(graph);
  Quantised result;
  result.input = random.tensor(with_batch(batch, graph.edges()[0].shape), 2.0);
  result.graph = calib::quantise(graph, ranges_for(graph, result.input, scheme));
  return result;
}

inline ConvOptions conv(int kernel, int stride = 1, int pad = 0, int groups = 1) {
  return {Window::square(kernel, stride, pad), groups};
}

// A stem, a depthwise layer, pools and two linear layers behind a flatten.
inline Graph chain() {
  Graph g("chain");
  EdgeId x = g.input("image", Shape{3, 17, 13});
  x = g.relu("relu1", g.batch_norm("bn1", g.conv2d("conv1", x, 10, conv(3, 2, 1))));
  x = g.max_pool("pool1", x, Window::square(2, 2), true);
  x = g.relu6("relu2", g.conv2d("conv2", x, 10, conv(3, 1, 1, 10)));
  x = g.conv2d("conv3", x, 70, conv(1));
  x = g.avg_pool("pool2", x, Window::square(2, 1, 1));
  x = g.linear("fc1", g.flatten("flatten", x), 21);
  g.set_output(g.linear("fc2", x, 4));
  return g;
}

// An asymmetric border around every layer, each of another kind.
inline Graph borders() {
  Graph g("borders");
  EdgeId x = g.input("image", Shape{4, 9, 11});
  x = g.conv2d("uneven", x, 6, {.window = {3, 2, 1, 1, 2, 0, 1, 1}});
  x = g.conv2d("dilated", x, 6, {.window = {3, 3, 1, 1, 2, 1, 0, 3, 2, 2}});
  x = g.conv2d("depthwise", x, 6, {.window = {4, 3, 2, 1, 0, 2, 3, 0}, .groups = 6});
  x = g.conv2d("grouped", x, 8, {.window = {2, 2, 1, 2, 1, 1, 1, 1}, .groups = 2});
  x = g.max_pool("max", x, {3, 3, 2, 2, 1, 1, 1, 0});
  g.set_output(g.avg_pool("avg", x, {3, 2, 1, 1, 1, 1, 2, 0}, false, true));
  return g;
}

// Nearest upsampling and borders of zeros, before and behind layers that compute.
inline Graph resampled() {
  Graph g("resampled");
  EdgeId x = g.input("image", Shape{3, 5, 7});
  x = g.upsample("up1", g.conv2d("a", x, 6, conv(3, 1, 1)), 2, 3);
  x = g.pad("pad1", x, 0, 1, 2, 0);
  const EdgeId wide = g.relu("relu", g.conv2d("b", x, 6, conv(3)));
  x = g.pad("pad2", g.max_pool("pool", wide, Window::square(2, 2)), 1, 1, 1, 1);
  g.set_output(g.conv2d("c", g.upsample("up2", x, 1, 2), 2, conv(1)));
  return g;
}

// Transposed convolutions: with and without overlaps, output paddings, dilation, a batch-norm and a ReLU behind.
inline Graph transposed() {
  Graph g("transposed");
  EdgeId x = g.input("image", Shape{4, 5, 6});
  x = g.relu("relu", g.batch_norm("bn", g.conv_transpose2d("up1", x, 6, {Window::square(2, 2)})));
  x = g.conv_transpose2d("up2", x, 5, {.window = {3, 3, 2, 2, 1, 1, 0, 1}});
  x = g.conv_transpose2d("up3", x, 3, {.window = {2, 3, 1, 2, 0, 1, 1, 0, 2, 1}});
  g.set_output(g.conv_transpose2d("up4", x, 2, {.window = {3, 2, 3, 1, 0, 0, -1, 0}, .bias = false}));
  return g;
}

// Residual sums: one in place, one whose operand is needed later, one of an edge with itself, one of three.
inline Graph residuals() {
  Graph g("residuals");
  const EdgeId x = g.input("image", Shape{5, 7, 6});
  const EdgeId a = g.conv2d("a", x, 5, conv(3, 1, 1));
  const EdgeId b = g.conv2d("b", a, 5, conv(3, 1, 1));
  const EdgeId sum1 = g.relu("relu1", g.add("sum1", {a, b}));  // a and b die here
  const EdgeId c = g.conv2d("c", sum1, 5, conv(3, 1, 1));
  const EdgeId sum2 = g.add("sum2", {sum1, c});  // sum1 lives on
  const EdgeId sum3 = g.add("sum3", {sum2, sum2});
  const EdgeId sum4 = g.relu6("relu4", g.add("sum4", {sum3, sum1, x}));
  g.set_output(g.conv2d("d", sum4, 3, conv(3, 1, 1)));
  return g;
}

// A sum whose first operand is its producer's own memory and is needed again: it must not be overwritten.
inline Graph kept() {
  Graph g("kept");
  const EdgeId x = g.input("image", Shape{4, 6, 6});
  const EdgeId a = g.conv2d("a", x, 4, conv(3, 1, 1));
  const EdgeId b = g.conv2d("b", x, 4, conv(1));
  const EdgeId c = g.conv2d("c", x, 4, conv(1));
  const EdgeId sum1 = g.add("sum1", {a, b});  // b dies, a does not
  const EdgeId sum2 = g.add("sum2", {c, a});
  const EdgeId late = g.concat("late", {sum1, sum2, c, a});
  g.set_output(g.conv2d("d", late, 2, conv(1)));
  return g;
}

// Flattening an image of one row or of one column: C, H, W order is not the order in memory.
inline Graph flat(std::int64_t h, std::int64_t w) {
  Graph g("flat");
  const EdgeId x = g.conv2d("conv", g.input("image", Shape{3, h, w}), 5, conv(1));
  g.set_output(g.linear("fc", g.flatten("flatten", x), 9));
  return g;
}

// Enough elements of one sum that the 17th bit of a multiplier would show (a step in some 2,000).
inline Graph wide_sum() {
  Graph g("wide_sum");
  const EdgeId x = g.input("image", Shape{20, 24, 24});
  const EdgeId a = g.conv2d("a", x, 20, conv(1)), b = g.conv2d("b", x, 20, conv(1));
  g.set_output(g.add("sum", {a, b, x}));
  return g;
}

// Concatenations: inputs written in place, one used twice, one nested, one whose slices feed padded convolutions.
// Concatenations are not observed, so that equal inputs give equal steps.
inline Graph concats() {
  Graph g("concats");
  const EdgeId x = g.input("image", Shape{3, 8, 9});
  const EdgeId a = g.relu("ra", g.conv2d("a", x, 5, conv(3, 1, 1)));
  const EdgeId b = g.relu("rb", g.conv2d("b", x, 7, conv(1)));
  const EdgeId ab = g.concat("ab", {a, b});
  const EdgeId c = g.conv2d("c", a, 4, conv(3, 1, 1));  // reads a slice of ab, with a border
  const EdgeId aab = g.concat("aab", {a, ab, a});       // nested, and a twice
  const EdgeId d = g.conv2d("d", aab, 6, conv(3, 1, 1));
  const EdgeId pooled = g.max_pool("pool", ab, Window::square(3, 1, 1));
  const EdgeId all = g.concat("all", {c, d, pooled});
  g.set_output(g.conv2d("e", all, 3, conv(3, 1, 1)));
  return g;
}

}  // namespace octet::test
