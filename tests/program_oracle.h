// Runs a Program and holds every edge that it makes against the interpreter. Each layer is interpreted from the values
// that the program itself handed to that layer: integers must be equal, reals within the bound of one layer, and a
// value that was overwritten between two layers shows as a wrong result of the second.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "kernels/plan/plan.h"
#include "runtime/program.h"
#include "tests/qgraph_interpreter.h"

namespace octet::test {

inline Values capture(const View& v) {
  Values values;
  for (std::int64_t n = 0; n < v.n; ++n) {
    for (std::int64_t c = 0; c < v.c; ++c) {
      for (std::int64_t y = 0; y < v.h; ++y) {
        for (std::int64_t x = 0; x < v.w; ++x) {
          if (v.type == DType::u8) values.q.push_back(*v.at<std::uint8_t>(n, y, x, c));
          if (v.type == DType::s8) values.q.push_back(*v.at<std::int8_t>(n, y, x, c));
          if (v.type == DType::f32) values.real.push_back(static_cast<double>(*v.at<float>(n, y, x, c)));
        }
      }
    }
  }
  values.bound.assign(values.real.size(), 0.0);
  return values;
}

inline Values reals_of(const Tensor& tensor) {
  Values values;
  for (const float x : tensor.span<float>()) values.real.push_back(static_cast<double>(x));
  values.bound.assign(values.real.size(), 0.0);
  return values;
}

struct Run {
  std::map<EdgeId, Values> edges;
  Tensor output;
};

inline Tensor output_for(const Program& program, std::int64_t batch) {
  std::vector<std::int64_t> dims{batch};
  for (const std::int64_t d : program.output_like.shape().dims()) dims.push_back(d);
  return Tensor(DType::f32, Shape(dims));
}

inline Run run_once(Context& context, const Program& program, const Tensor& input) {
  Run run;
  run.output = output_for(program, input.shape()[0]);
  const Context::Hook hook = [&](EdgeId edge, const View& view) { run.edges[edge] = capture(view); };
  context.run(input, run.output, &hook);
  return run;
}

inline Run run_once(const QGraph& graph, const kernels::PlanOptions& options, const Tensor& input, ThreadPool& pool) {
  const auto program = kernels::plan(graph, options);
  Context context(program, pool);
  return run_once(context, *program, input);
}

// The first difference between two edges; empty when there is none.
inline std::string difference(const Values& wanted, const Values& made) {
  if (wanted.q.size() != made.q.size() || wanted.real.size() != made.real.size()) {
    return fmt::format("{} + {} values, {} + {} were expected", made.q.size(), made.real.size(), wanted.q.size(),
                       wanted.real.size());
  }
  for (std::size_t i = 0; i < wanted.q.size(); ++i) {
    if (wanted.q[i] != made.q[i]) return fmt::format("[{}] is {}, {} was expected", i, made.q[i], wanted.q[i]);
  }
  for (std::size_t i = 0; i < wanted.real.size(); ++i) {
    if (!(std::fabs(wanted.real[i] - made.real[i]) <= wanted.bound[i])) {
      return fmt::format("[{}] is {}, {} was expected within {}", i, made.real[i], wanted.real[i], wanted.bound[i]);
    }
  }
  return "";
}

struct Verdict {
  std::string error;      // empty: all equal
  int integer_edges = 0;  // how many quantised edges were compared
  int real_edges = 0;
};

// What a node made of which inputs when it was last interpreted: programs for other instruction sets ask again.
struct Remembered {
  std::vector<Values> inputs;
  Values output;
};
using Memory = std::map<const QNode*, Remembered>;

inline const Values& interpreted(const Interpreter& interpreter, const QNode& node,
                                 const std::vector<const Values*>& inputs, Memory& memory) {
  Remembered& last = memory[&node];
  const bool same = std::ranges::equal(last.inputs, inputs, [](const Values& a, const Values* b) { return a == *b; });
  if (same) return last.output;
  last.inputs.clear();
  for (const Values* in : inputs) last.inputs.push_back(*in);
  return last.output = interpreter.compute(node, inputs);
}

// `memory`, if given, must be for this very graph and batch.
inline Verdict compare(const QGraph& graph, const Values& input, const Run& run, std::int64_t batch,
                       Memory* memory = nullptr) {
  const Interpreter interpreter(graph, batch);
  Memory own;
  if (memory == nullptr) memory = &own;
  Verdict verdict;
  std::map<EdgeId, Values> known;
  known[graph.input] = input;
  const auto look = [&](EdgeId edge, const Values& wanted) {
    const auto made = run.edges.find(edge);
    if (made == run.edges.end()) return;
    (graph.edges[static_cast<std::size_t>(edge)].quantised ? verdict.integer_edges : verdict.real_edges) += 1;
    const std::string found = difference(wanted, made->second);
    if (!found.empty() && verdict.error.empty()) {
      verdict.error = fmt::format("edge {}: {}", graph.edges[static_cast<std::size_t>(edge)].name, found);
    }
    known[edge] = made->second;
  };
  look(graph.input, input);
  for (const QNode& node : graph.nodes) {
    std::vector<const Values*> inputs;
    for (const EdgeId edge : node.inputs) inputs.push_back(&known.at(edge));
    known[node.output] = interpreted(interpreter, node, inputs, *memory);
    look(node.output, Values(known[node.output]));
  }
  const std::string found = difference(known.at(graph.output), reals_of(run.output));
  if (!found.empty() && verdict.error.empty()) verdict.error = "the output tensor: " + found;
  return verdict;
}

}  // namespace octet::test
