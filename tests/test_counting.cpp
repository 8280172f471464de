// In a build that counts (OCTET_COUNT_KERNELS): between the first quantise and the last dequantise of the quantised
// cat/dog network no float kernel runs.
#include <doctest/doctest.h>

#include "calib/quantise.h"
#include "kernels/plan/plan.h"
#include "models/catdog/catdog.h"
#include "runtime/program.h"

using namespace octet;

TEST_CASE("INT8 runs no float kernel between the first quantise and the last dequantise") {
#ifndef OCTET_COUNT_KERNELS
  MESSAGE("skipped: this build does not count kernels (cmake -DOCTET_COUNT_KERNELS=ON)");
#else
  Graph graph = models::catdog();
  graph.seed_weights(1);
  calib::Ranges ranges;
  ranges.model = graph.name();
  for (const char* name : {"input", "cv1", "cv2", "cv3", "cv4", "fc1", "fc2"}) {
    ranges.edges.push_back(
        {name, 255, -255, 255, calib::quant_params(calib::Scheme::symmetric, false, 255, -255, 255)});
  }
  const auto is_float = [](const Step& step) {
    return step.variant.find("_f32") != std::string::npos && !step.variant.starts_with("dequantise");
  };
  for (const bool photo : {false, true}) {
    kernels::PlanOptions options{.batch = 2};
    if (photo) options.photo = kernels::PlanOptions::Photo{};
    for (const bool quantised : {false, true}) {
      const QGraph q = quantised ? calib::quantise(graph, ranges) : calib::as_float(graph);
      const auto program = kernels::plan(q, options);
      ThreadPool pool(2);
      Context context(program, pool);
      const Tensor input(photo ? DType::u8 : DType::f32, photo ? Shape{2, 224, 224, 3} : Shape{2, 3, 224, 224});
      Tensor output(DType::f32, Shape{2, 2});
      context.run(input, output);
      context.run(input, output);
      REQUIRE(context.calls().size() == program->steps.size());
      std::int64_t floats = 0, integers = 0;
      for (std::size_t i = 0; i < program->steps.size(); ++i) {
        CHECK(context.calls()[i] == 2);  // each step of each run, once
        (is_float(program->steps[i]) ? floats : integers) += context.calls()[i];
      }
      if (!quantised) {
        CHECK(floats > 0);  // so that counting can find some
        continue;
      }
      CHECK(floats == 0);
      CHECK(integers >= 2 * 8);  // six layers with weights, quantise or lookup, dequantise; pools may be fused
      const std::string &first = program->steps.front().variant, &last = program->steps.back().variant;
      CHECK(first.starts_with(photo ? "lookup_s8" : "quantise_s8"));
      CHECK(last.starts_with("dequantise"));
    }
  }
#endif
}
