// Whole networks on CUDA: the same integers as the CPU on every edge, any batch size, several contexts, and errors that
// leave the process able to go on. Skipped, visibly, where there is no device.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "kernels/cuda/layout.h"
#include "kernels/cuda/registry.h"
#include "models/loaded_model.h"
#include "models/registry.h"
#include "models/tensor_hash.h"
#include "runtime/cuda/device.h"
#include "runtime/error.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

namespace {

bool have_gpu() {
  const cuda::Status& status = cuda::status();
  if (!status.usable) MESSAGE("skipped: ", status.why);
  return status.usable;
}

// A device to plan for where there is none.
Gpu h200() {
  Gpu gpu{.name = "H200", .major = 9, .minor = 0, .multiprocessors = 132, .shared_per_block = 232448};
  gpu.shared_per_multiprocessor = 233472, gpu.l2_bytes = 60 << 20, gpu.memory_bytes = std::size_t{141} << 30;
  return gpu;
}

kernels::PlanOptions on_gpu(int batch, const Gpu& gpu = cuda::status().gpu) {
  kernels::PlanOptions options;
  options.batch = batch, options.gpu = gpu;
  return options;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

std::vector<Graph> hand_made() {
  std::vector<Graph> graphs;
  graphs.push_back(chain());
  graphs.push_back(borders());
  graphs.push_back(residuals());
  graphs.push_back(kept());
  graphs.push_back(flat(3, 5));
  graphs.push_back(wide_sum());
  graphs.push_back(concats());
  return graphs;
}

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("which code runs on which device") {
  CHECK(cuda::runs_on("90a-real", 90));
  CHECK_FALSE(cuda::runs_on("90a-real", 100));
  CHECK_FALSE(cuda::runs_on("90a-real", 89));
  CHECK(cuda::runs_on("80-real", 86));
  CHECK_FALSE(cuda::runs_on("80-real", 90));
  CHECK_FALSE(cuda::runs_on("86-real", 80));
  CHECK(cuda::runs_on("75-real,80-virtual", 120));
  CHECK_FALSE(cuda::runs_on("90a-real,80-virtual", 70));
  CHECK(cuda::runs_on("75", 121));
  CHECK_FALSE(cuda::runs_on("", 90));
}

TEST_CASE("activations of a CUDA program lie as kernels/cuda/layout.h says") {
  if (kernels::cuda::all_kernels().empty()) {
    MESSAGE("skipped: this build has no CUDA kernels");
    return;
  }
  for (const Graph& graph : hand_made()) {
    const Quantised q = quantised(graph, calib::Scheme::affine);
    for (const int batch : {1, 3}) {
      const auto program = kernels::plan(q.graph, on_gpu(batch, h200()));
      CHECK(program->device == "cuda");
      CHECK(program->isa == "sm_90");
      for (const Slot& slot : program->slots) {
        if (slot.place != Place::arena) continue;
        const std::int64_t pitch = slot.view.stride_w * size_of(slot.view.type);
        CHECK((pitch == kernels::cuda::kSmallPixel || pitch % kernels::cuda::kVectorBytes == 0));
        CHECK(slot.view.stride_c == 1);
        const std::int64_t last = slot.offset + (slot.view.n - 1) * slot.view.stride_n * size_of(slot.view.type);
        CHECK(last >= 0);
        CHECK(last < static_cast<std::int64_t>(program->arena_bytes));
      }
      for (const Step& step : program->steps) {
        CHECK((step.launch != nullptr));
        CHECK((step.run == nullptr));
        const Slot& out = program->slots[static_cast<std::size_t>(step.output)];
        const bool aligned = out.offset % kernels::cuda::kVectorBytes == 0;
        CHECK_MESSAGE((aligned || step.op == Op::concat || out.view.c * size_of(out.view.type) <= 4), step.name);
      }
    }
  }
}

TEST_CASE("without a device: auto takes the CPU, cuda is a clear error, so is a context") {
  if (cuda::status().usable) {
    CHECK(cuda::choose_device("auto").has_value());
    CHECK_FALSE(cuda::choose_device("cpu").has_value());
    return;
  }
  CHECK_FALSE(cuda::choose_device("auto").has_value());
  CHECK(message_of([] { (void)cuda::choose_device("cuda"); }).find(cuda::status().why) != std::string::npos);
  if (kernels::cuda::all_kernels().empty()) return;
  const Quantised q = quantised(chain(), calib::Scheme::symmetric);
  const auto program = kernels::plan(q.graph, on_gpu(1, h200()));
  ThreadPool pool(1);
  CHECK(message_of([&] { Context context(program, pool); }).find(cuda::status().why) != std::string::npos);
}

TEST_CASE("CUDA: every layer of hand-made networks equals the interpreter's, in INT8 and FP32") {
  if (!have_gpu()) return;
  ThreadPool pool(1);
  for (const Graph& graph : hand_made()) {
    for (const auto scheme : {calib::Scheme::symmetric, calib::Scheme::affine}) {
      const Quantised q = quantised(graph, scheme);
      for (const bool keep : {true, false}) {
        kernels::PlanOptions options = on_gpu(3);
        options.keep_edges = keep;
        const Run run = run_once(q.graph, options, q.input, pool);
        const Verdict verdict = compare(q.graph, reals_of(q.input), run, 3);
        CHECK_MESSAGE(verdict.error.empty(), graph.name() << ": " << verdict.error);
      }
    }
    Graph real = graph;
    Random random(3);
    randomise_weights(real, random);
    const Tensor input = random.tensor(with_batch(2, real.edges()[0].shape), 2.0);
    const QGraph network = calib::as_float(real, true);
    const Run run = run_once(network, on_gpu(2), input, pool);
    const Verdict verdict = compare(network, reals_of(input), run, 2);
    CHECK_MESSAGE(verdict.error.empty(), graph.name() << " fp32: " << verdict.error);
  }
}

TEST_CASE("CUDA: random networks equal the interpreter's") {
  if (!have_gpu()) return;
  ThreadPool pool(1);
  int integer_edges = 0;
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    Random random(seed);
    Graph graph = GraphMaker(random).make();
    observe_all(graph);
    const Tensor input = random.tensor(with_batch(2, graph.edges()[0].shape), 2.0);
    const QGraph network = calib::quantise(graph, random_ranges(graph, input, random));
    if (kernels::not_for_cuda(network) != nullptr) continue;
    const Run run = run_once(network, on_gpu(2), input, pool);
    const Verdict verdict = compare(network, reals_of(input), run, 2);
    CHECK_MESSAGE(verdict.error.empty(), "seed " << seed << ": " << verdict.error);
    integer_edges += verdict.integer_edges;
  }
  CHECK(integer_edges > 100);
}

TEST_CASE("CUDA: the graph's outputs equal those of single steps, for every batch size, from plain and pinned memory") {
  if (!have_gpu()) return;
  const Quantised q = quantised(concats(), calib::Scheme::affine, 5);
  const auto program = kernels::plan(q.graph, on_gpu(5));
  ThreadPool pool(1);
  Context context(program, pool);
  const Run whole = run_once(context, *program, q.input);
  const std::size_t image = q.input.bytes() / 5, result = whole.output.bytes() / 5;
  for (const int n : {5, 1, 2, 3, 4, 5, 1}) {
    for (const bool pinned : {false, true, false}) {
      std::vector<std::int64_t> dims(q.input.shape().dims().begin(), q.input.shape().dims().end());
      dims[0] = n;
      Tensor input = pinned ? context.host_tensor(DType::f32, Shape(dims)) : Tensor(DType::f32, Shape(dims));
      std::memcpy(input.raw(), q.input.raw(), image * static_cast<std::size_t>(n));
      Tensor output = output_for(*program, n);
      for (int repeat = 0; repeat < 3; ++repeat) {
        std::memset(output.raw(), 0xFF, output.bytes());
        context.run(input, output);
        CHECK(std::memcmp(output.raw(), whole.output.raw(), result * static_cast<std::size_t>(n)) == 0);
      }
    }
  }
}

TEST_CASE("CUDA: several contexts on several streams from several threads") {
  if (!have_gpu()) return;
  const Quantised q = quantised(residuals(), calib::Scheme::affine, 4);
  const auto program = kernels::plan(q.graph, on_gpu(4));
  ThreadPool pool(1);
  Tensor wanted = output_for(*program, 4);
  Context(program, pool).run(q.input, wanted);
  std::vector<std::thread> users;
  std::atomic<int> wrong{0};
  for (int user = 0; user < 6; ++user) {
    users.emplace_back([&] {
      Context context(program, pool);
      for (int i = 0; i < 200; ++i) {
        Tensor output = output_for(*program, 4);
        context.run(q.input, output);
        if (!same(output, wanted)) ++wrong;
      }
    });
  }
  for (std::thread& user : users) user.join();
  CHECK(wrong == 0);
}

TEST_CASE("CUDA: the networks by name, layer by layer, have the CPU's hashes; fused and with photos too") {
  if (!have_gpu()) return;
  ThreadPool pool(available_threads());
  for (const models::ModelInfo& info : models::all_models()) {
    if (info.takes_points) continue;  // sparse convolutions have no CUDA kernels yet
    CAPTURE(info.name);
    models::LoadOptions load;
    load.precision = Precision::int8;
    const models::LoadedModel model = models::load_model(info.name, load);
    constexpr int kBatch = 3;
    kernels::PlanOptions cpu, gpu = on_gpu(kBatch);
    cpu.batch = kBatch;
    cpu.photo = gpu.photo = model.preprocess.photo();
    cpu.keep_edges = gpu.keep_edges = true;
    const auto cpu_program = kernels::plan(model.network, cpu), gpu_program = kernels::plan(model.network, gpu);
    Tensor photos(DType::u8, with_batch(kBatch, cpu_program->input_like.shape()));
    Random random(5);
    for (std::uint8_t& p : photos.span<std::uint8_t>()) p = static_cast<std::uint8_t>(random.bits());
    const auto run = [&](const std::shared_ptr<const Program>& program, models::LayerHashes& hashes) {
      Context context(program, pool);
      Tensor output = output_for(*program, kBatch);
      const Context::Hook hook = [&](EdgeId edge, const View& view) { hashes.add(edge, view); };
      context.run(photos, output, &hook);
      return output;
    };
    models::LayerHashes cpu_hashes(model.network), gpu_hashes(model.network);
    const Tensor wanted = run(cpu_program, cpu_hashes), made = run(gpu_program, gpu_hashes);
    CHECK(cpu_hashes.list().size() > 10);
    const auto expected = cpu_hashes.list(), found = gpu_hashes.list();
    REQUIRE(expected.size() == found.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(found[i] == expected[i]);
    CHECK(same(made, wanted));
    gpu.keep_edges = false;
    for (const int batch : {kBatch, 17}) {  // a larger plan may choose other kernels
      gpu.batch = batch;
      const auto fused = kernels::plan(model.network, gpu);
      Context context(fused, pool);
      Tensor output = output_for(*fused, kBatch);
      context.run(photos, output);
      CHECK(same(output, wanted));
    }
  }
}

TEST_CASE("CUDA: a NaN, a batch of 0, one too large, too little memory: clear errors, and the context goes on") {
  if (!have_gpu()) return;
  const Quantised q = quantised(chain(), calib::Scheme::affine, 2);
  const auto program = kernels::plan(q.graph, on_gpu(2));
  ThreadPool pool(1);
  Context context(program, pool);
  Tensor wanted = output_for(*program, 2), output = output_for(*program, 2);
  context.run(q.input, wanted);

  Tensor poisoned = q.input.clone();
  poisoned.span<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK(message_of([&] { context.run(poisoned, output); }).find("NaN") != std::string::npos);
  context.run(q.input, output);
  CHECK(same(output, wanted));

  Tensor none(DType::f32, with_batch(0, program->input_like.shape())), none_out = output_for(*program, 0);
  CHECK(message_of([&] { context.run(none, none_out); }).find("batch of 0") != std::string::npos);
  Tensor many(DType::f32, with_batch(3, program->input_like.shape())), many_out = output_for(*program, 3);
  CHECK(message_of([&] { context.run(many, many_out); }).find("batch of 3") != std::string::npos);

  auto huge = std::make_shared<Program>(*program);
  huge->arena_bytes = std::size_t{1} << 45;
  const std::string memory = message_of([&] { Context too_large(huge, pool); });
  CHECK_MESSAGE(memory.find("bytes of device memory") != std::string::npos, memory);
  CHECK(message_of([&] { Context too_large(huge, pool); }) != "");

  // A launch that the driver refuses, before and while a graph is captured.
  auto broken = std::make_shared<Program>(*program);
  broken->steps[1].launch = [](const StepArgs&, const GpuLaunch&) { return 9; };  // cudaErrorInvalidConfiguration
  const std::string launch = message_of([&] { Context refuses(broken, pool); });
  CHECK_MESSAGE(launch.find(broken->steps[1].name) != std::string::npos, launch);

  for (int i = 0; i < 3; ++i) context.run(q.input, output);
  CHECK(same(output, wanted));
}
