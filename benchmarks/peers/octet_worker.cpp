// One contender of benchmarks/peers: a network kept warm in this process and timed when it is asked to.
//   octet_worker MODEL INPUTS BATCH THREADS OUTPUTS [--weights FILE] [--fp32] [--bytes]
// INPUTS: raw f32 [count, C, H, W], or with --bytes u8 [count, H, W, C]; OUTPUTS: raw f32, written for every input.
// What it says on stdout and reads on stdin is described in contender.py; peer_worker.py speaks the same.
#include <fmt/format.h>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "kernels/plan/plan.h"
#include "models/loaded_model.h"
#include "runtime/error.h"

namespace {

using namespace octet;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, inputs, outputs;
  int batch = 1, threads = 1;
  bool bytes = false;
  models::LoadOptions load;
};

Options parse(int argc, char** argv) {
  const std::vector<std::string> a(argv + 1, argv + argc);
  require(a.size() >= 5, "octet_worker MODEL INPUTS BATCH THREADS OUTPUTS [--weights FILE] [--fp32] [--bytes]");
  Options o{.model = a[0], .inputs = a[1], .outputs = a[4], .batch = std::stoi(a[2]), .threads = std::stoi(a[3])};
  for (std::size_t i = 5; i < a.size(); ++i) {
    if (a[i] == "--weights" && i + 1 < a.size()) {
      o.load.weights = a[++i];
    } else if (a[i] == "--fp32") {
      o.load.precision = Precision::fp32;
    } else if (a[i] == "--bytes") {
      o.bytes = true;
    } else {
      fail("octet_worker: {}: an unknown option", a[i]);
    }
  }
  return o;
}

Shape with_batch(int batch, const Shape& one) {
  std::vector<std::int64_t> dims{batch};
  dims.insert(dims.end(), one.dims().begin(), one.dims().end());
  return Shape(dims);
}

std::vector<Tensor> read_inputs(const Options& o, const Program& program) {
  std::ifstream file(o.inputs, std::ios::binary);
  std::vector<Tensor> batches;
  while (file.peek() != std::ifstream::traits_type::eof()) {
    Tensor& batch =
        batches.emplace_back(o.bytes ? DType::u8 : DType::f32, with_batch(o.batch, program.input_like.shape()));
    const auto bytes = static_cast<std::streamsize>(batch.bytes());
    file.read(reinterpret_cast<char*>(batch.raw()), bytes);
    require(file.gcount() == bytes, "{}: not a whole number of batches of {} bytes", o.inputs, bytes);
  }
  require(!batches.empty(), "{}: cannot be read, or is empty", o.inputs);
  return batches;
}

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

// Every batch once, to OUTPUTS.
void write_outputs(const Options& o, Context& context, const std::vector<Tensor>& inputs, Tensor& output) {
  std::ofstream file(o.outputs, std::ios::binary);
  for (const Tensor& input : inputs) {
    context.run(input, output);
    file.write(reinterpret_cast<const char*>(output.raw()), static_cast<std::streamsize>(output.bytes()));
  }
  require(file.good(), "{}: cannot be written", o.outputs);
}

std::string facts(const Program& program, const ThreadPool& pool) {
  nlohmann::json layers = nlohmann::json::array();
  for (const Step& step : program.steps) {
    layers.push_back({{"name", step.name}, {"kernel", step.variant}, {"precision", name_of(step.precision)}});
  }
  return nlohmann::json{{"threads", pool.threads()}, {"isa", program.isa}, {"layers", layers}}.dump();
}

// `count` runs, milliseconds each.
std::string time_runs(int count, Context& context, const std::vector<Tensor>& inputs, Tensor& output) {
  static std::size_t next = 0;  // the inputs take turns across calls too
  std::string times;
  for (; count > 0; --count, next = (next + 1) % inputs.size()) {
    const auto before = Clock::now();
    context.run(inputs[next], output);
    times += fmt::format("{:.5f} ", std::chrono::duration<double, std::milli>(Clock::now() - before).count());
  }
  return times;
}

void run(const Options& o) {
  const models::LoadedModel model = models::load_model(o.model, o.load);
  kernels::PlanOptions options;
  options.batch = o.batch;
  if (o.bytes) options.photo = model.preprocess.photo();
  const auto program = kernels::plan(model.network, options);
  ThreadPool pool(o.threads);
  Context context(program, pool);
  const std::vector<Tensor> inputs = read_inputs(o, *program);
  Tensor output(DType::f32, with_batch(o.batch, program->output_like.shape()));
  context.run(inputs[0], output);
  say("first");
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "facts") {
      say(facts(*program, pool));
    } else if (line == "outputs") {
      write_outputs(o, context, inputs, output);
      say("written");
    } else {
      say(time_runs(std::stoi(line), context, inputs, output));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "octet_worker: {}\n", e.what());
    return 1;
  }
}
