// Sparse networks on CUDA: sites and kernel maps entry by entry as the CPU makes them, layers and whole networks byte
// by byte. Skipped, visibly, where there is no device. (The kernels' own sweep is test_cuda_kernels.)
#include "models/centerpoint/seeded.h"
#include "models/loaded_model.h"
#include "runtime/cuda/sites_memory.h"
#include "tests/cuda_tester.h"
#include "tests/network_part.h"
#include "tests/sparse_networks.h"

using namespace octet;
using namespace octet::test;

namespace {

// Runs the sites' kernel as an executor does; `capacity` sites of each level.
class DeviceSites {
 public:
  DeviceSites(const SparsePlan& plan, std::int64_t batch, std::span<const std::int64_t> capacity)
      : plan_(plan), sites_("test", plan, batch, capacity) {
    memory_ = cuda::allocate_device(sites_.bytes(), "a test");
    rows_ = cuda::allocate_device(plan.levels().size() * sizeof(std::int32_t), "a test");
    sites_.place(memory_.data(), reinterpret_cast<std::int32_t*>(rows_.data()));
  }
  void build(std::span<const std::int64_t> keys) {
    const auto count = static_cast<std::int32_t>(keys.size());
    cuda::check(cudaMemcpy(sites_.level(0).rows, &count, sizeof count, cudaMemcpyHostToDevice), "a test");
    if (!keys.empty())
      cuda::check(cudaMemcpy(sites_.level(0).keys, keys.data(), keys.size_bytes(), cudaMemcpyHostToDevice), "a test");
    cuda::check(cudaStreamSynchronize(nullptr), "a test");
    const Gpu& gpu = cuda::status().gpu;
    const cuda::SitesTask task = sites_.task();
    StepArgs args;
    args.params = &task;
    const auto choice = kernels::cuda::choose("sites", gpu, args);
    cuda::check(static_cast<cudaError_t>(choice.kernel->launch(args, {stream_.get(), &gpu, nullptr, 0})), "sites");
    stream_.synchronise("sites");
  }
  SparseGeometry fetch() const {
    SparseGeometry made(plan_);
    sites_.fetch(made);
    return made;
  }
  std::vector<std::int32_t> rows() const {  // as the device counts them, beyond the capacity too
    std::vector<std::int32_t> rows(plan_.levels().size());
    cuda::check(cudaMemcpy(rows.data(), rows_.data(), rows_.size(), cudaMemcpyDeviceToHost), "a test");
    return rows;
  }

 private:
  const SparsePlan& plan_;
  cuda::SitesMemory sites_;
  cuda::DeviceMemory memory_, rows_;
  cuda::Stream stream_;
};

SparseWindow submanifold(SparseWindow::Triple kernel, SparseWindow::Triple dilation = {1, 1, 1}) {
  SparseWindow w{.kernel = kernel, .dilation = dilation, .submanifold = true};
  for (std::size_t i = 0; i < 3; ++i) w.padding[i] = dilation[i] * (kernel[i] - 1) / 2;
  return w;
}

SparseWindow inverse_of(SparseWindow window, const SparseGrid& grid) {
  window.inverse = true, window.restored = grid;
  return window;
}

#ifdef OCTET_SIMT  // tests/simt/: a processor that does every thread's work by itself
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif
constexpr int kPlans = kEmulated ? 8 : 40;
constexpr double kSide = kEmulated ? 1.2 : 54;  // metres: half of CenterPoint's range

// Down through two convolutions and back, with all kinds of windows at each level. Throws Error when one does not fit.
SparsePlan try_plan(Random& random, const SparseGrid& grid) {
  const auto triple = [&](int lo, int hi) {
    return SparseWindow::Triple{random.between(lo, hi), random.between(lo, hi), random.between(lo, hi)};
  };
  SparsePlan plan;
  plan.add_input(grid);
  const auto odd = [&] { return SparseWindow::Triple{1 + 2 * random.between(0, 1), 3, 1 + 2 * random.between(0, 2)}; };
  plan.add("same0", 0, submanifold({3, 3, 3}), "");
  plan.add("other0", 0, submanifold(odd(), triple(1, 2)), "");
  const SparseWindow down{.kernel = triple(1, 3), .stride = triple(1, 3), .padding = triple(0, 1)};
  const int first = plan.add("down1", 0, down, "").level;
  plan.add("same1", first, submanifold(odd()), "");
  const SparseGrid middle = plan.levels()[static_cast<std::size_t>(first)].grid;
  const SparseWindow further{
      .kernel = triple(1, 2), .stride = triple(1, 2), .padding = triple(0, 1), .dilation = triple(1, 2)};
  const int second = plan.add("down2", first, further, "").level;
  plan.add("up2", second, inverse_of(further, middle), "down2");
  plan.add("up1", first, inverse_of(down, grid), "down1");
  return plan;
}

SparsePlan random_plan(Random& random, const SparseGrid& grid) {
  while (true) {
    try {
      return try_plan(random, grid);
    } catch (const Error&) {
    }
  }
}

void compare(const SparsePlan& plan, const SparseGeometry& wanted, const SparseGeometry& made,
             const std::string& what) {
  for (int level = 0; level < static_cast<int>(plan.levels().size()); ++level) {
    const auto a = wanted.keys(level), b = made.keys(level);
    REQUIRE_MESSAGE(b.size() == a.size(), what << ": level " << level);
    const auto differs = std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin();
    REQUIRE_MESSAGE(differs == static_cast<std::ptrdiff_t>(a.size()),
                    what << ": level " << level << " row " << differs);
  }
  for (int i = 0; i < static_cast<int>(plan.rulebooks().size()); ++i) {
    const auto a = wanted.rulebook(i).map(), b = made.rulebook(i).map();
    REQUIRE_MESSAGE(b.size() == a.size(), what << ": rulebook " << i);
    const auto differs = std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin();
    const std::int64_t rows = std::max<std::int64_t>(1, wanted.rulebook(i).rows());
    REQUIRE_MESSAGE(differs == static_cast<std::ptrdiff_t>(a.size()),
                    what << ": rulebook " << i << " tap " << differs / rows << " row " << differs % rows);
  }
}

kernels::PlanOptions on_gpu(int batch, bool keep_edges, std::int64_t sites = 0) {
  kernels::PlanOptions options;
  options.batch = batch, options.gpu = cuda::status().gpu, options.keep_edges = keep_edges, options.sites = sites;
  return options;
}

Tensor output_of(const Program& program, std::int64_t batch) {
  return Tensor(DType::f32, with_batch(batch, program.output_like.shape()));
}

bool same(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// Leaves every n-th site.
void thin(SparseTensor& frame, std::size_t n) {
  SparseTensor kept{.grid = frame.grid, .batch = frame.batch};
  for (std::size_t i = 0; i < frame.keys.size(); i += n) kept.keys.push_back(frame.keys[i]);
  const std::int64_t features = frame.features.shape()[1];
  kept.features = Tensor(DType::f32, Shape{kept.rows(), features});
  for (std::int64_t i = 0; i < kept.rows() * features; ++i) {
    const std::int64_t from = i / features * static_cast<std::int64_t>(n) * features + i % features;
    kept.features.span<float>()[static_cast<std::size_t>(i)] =
        frame.features.span<float>()[static_cast<std::size_t>(from)];
  }
  frame = std::move(kept);
}

// CenterPoint with seeded weights, in the precision asked for.
models::LoadedModel seeded_centerpoint(Precision precision) {
  models::LoadOptions load;
  load.precision = precision;
  load.build.points = models::CenterPointConfig{};
  load.build.points->range = {-kSide, -kSide, -5, kSide, kSide, 3};
  return models::load_model("centerpoint", load);
}

}  // namespace

TEST_CASE("sites and kernel maps on CUDA are the CPU's, entry by entry, on random clouds and windows") {
  if (!have_gpu()) return;
  Random random(11);
  ThreadPool pool(2);
  for (int plans = 0; plans < kPlans; ++plans) {
    const SparseGrid grid{random.between(3, 7), random.between(4, 40), random.between(3, 200)};
    const SparsePlan plan = random_plan(random, grid);
    const int batch = random.between(1, 3);
    std::vector<std::int64_t> capacity;
    for (const SparseLevel& level : plan.levels()) capacity.push_back(level.grid.cells() * batch);
    DeviceSites device(plan, batch, capacity);
    for (int cloud = 0; cloud < 6; ++cloud) {  // a full one between empty ones: nothing may stay behind
      const double share = cloud == 0 || cloud == 3 ? 0.0 : cloud == 2 ? 0.95 : random.between(1, 30) / 100.0;
      std::vector<std::int64_t> keys = random_sites(random, grid, batch, share);
      if (cloud == 4) keys = {grid.cells() * batch - 1};
      SparseGeometry wanted(plan);
      wanted.build(keys, batch, pool);
      device.build(keys);
      compare(plan, wanted, device.fetch(), fmt::format("plan {} on {}, cloud {}", plans, grid.str(), cloud));
    }
  }
}

TEST_CASE("a level with more sites than there is room for: they are counted, and nothing is written behind the room") {
  if (!have_gpu()) return;
  Random random(12);
  const SparseGrid grid{5, 40, 300};
  SparsePlan plan;
  plan.add_input(grid);
  plan.add("same", 0, submanifold({3, 3, 3}), "");
  plan.add("down", 0, {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {1, 1, 1}}, "");
  const std::vector<std::int64_t> keys = random_sites(random, grid, 1, 0.1);
  ThreadPool pool(1);
  SparseGeometry wanted(plan);
  wanted.build(keys, 1, pool);
  const std::int64_t few = wanted.rows(1) / 3;
  DeviceSites device(plan, 1, std::vector<std::int64_t>{wanted.rows(0), few});
  device.build(keys);
  CHECK(device.rows()[1] == wanted.rows(1));
  const SparseGeometry made = device.fetch();
  CHECK(made.rows(1) == few);
  CHECK(std::equal(made.keys(1).begin(), made.keys(1).end(), wanted.keys(1).begin()));
}

TEST_CASE("a grid that CUDA's index cannot count is refused") {
  SparsePlan plan;
  plan.add_input({2048, 2048, 2048});
  const std::vector<std::int64_t> capacity = {100};
  CHECK_THROWS_WITH_AS(cuda::SitesMemory("net", plan, 1, capacity), doctest::Contains("2^31 cells"), Error);
}

TEST_CASE(
    "CUDA: every edge of sparse networks equals the dense oracle's, in INT8 and FP32; frames that need more room") {
  if (!have_gpu()) return;
  ThreadPool pool(1);
  struct Network {
    std::string name;
    Made made;
  };
  std::vector<Network> networks;
  networks.push_back({"flat U-Net", make_sparse(sparse_unet(true), calib::Scheme::symmetric, false, 1)});
  networks.push_back({"U-Net", make_sparse(sparse_unet(false), calib::Scheme::symmetric, true, 2)});
  networks.push_back({"affine U-Net", make_sparse(sparse_unet(false), calib::Scheme::affine, false, 3)});
  networks.push_back({"encoder", make_sparse(sparse_encoder(), calib::Scheme::symmetric, false, 4)});
  for (const auto& [name, made] : networks) {
    for (const bool real : {false, true}) {
      const QGraph graph = real ? calib::as_float(made.graph, false) : made.integer;
      for (const bool keep : {true, false}) {
        if (kEmulated && (real != (name == "flat U-Net") || keep == (name == "encoder"))) continue;  // one of each
        const auto program = kernels::plan(graph, on_gpu(2, keep));
        Context context(program, pool);
        for (std::size_t i = 0; i < (kEmulated ? 3 : made.frames.size()); ++i) {
          const std::string what = fmt::format("{} {} frame {}{}", name, real ? "f32" : "s8", i, keep ? "" : ", fused");
          const Edges edges = run_sparse(context, *program, made.frames[i]);
          CHECK(edges.size() > graph.nodes.size() / 3);
          compare_edges(graph, wanted_of(graph, made.frames[i]), edges, what);
        }
      }
    }
  }
}

TEST_CASE("CUDA: sparse programs count every site once: geometry() is the CPU's, batches of one after batches of two") {
  if (!have_gpu()) return;
  ThreadPool pool(1);
  const Made made = make_sparse(sparse_unet(false), calib::Scheme::symmetric, false, 9);
  const auto program = kernels::plan(made.integer, on_gpu(2, false));
  Context context(program, pool);
  CHECK(context.geometry() == nullptr);
  Random random(13);
  const SparseGrid grid = made.frames[0].grid;
  for (const int batch : {2, 1, 2, 1}) {
    const SparseTensor frame = random_sparse(random, grid, batch, 5, 0.2);
    Tensor output = output_of(*program, batch), wanted = output_of(*program, batch);
    context.run(frame, output);
    const auto on_cpu = kernels::plan(made.integer, {.batch = 2});
    Context cpu(on_cpu, pool);
    cpu.run(frame, wanted);
    CHECK(same(output, wanted));
    compare(program->sparse, *cpu.geometry(), *context.geometry(), fmt::format("batch {}", batch));
  }
}

TEST_CASE("CUDA: a NaN in a sparse frame is found, one beyond the last site is not") {
  if (!have_gpu()) return;
  const Made made = make_sparse(sparse_encoder(), calib::Scheme::symmetric, false, 8);
  ThreadPool pool(1);
  const auto program = kernels::plan(made.integer, on_gpu(2, false));
  Context context(program, pool);
  Tensor output = output_of(*program, 2);
  SparseTensor frame = made.frames[0];
  frame.features = frame.features.clone();
  frame.features.span<float>().back() = std::nanf("");
  CHECK_THROWS_WITH_AS(context.run(frame, output), doctest::Contains("NaN"), Error);
  frame.keys.pop_back();
  frame.features =
      Tensor(DType::f32, Shape{frame.rows(), 5}, frame.features.raw(), std::make_shared<Tensor>(frame.features));
  context.run(frame, output);
}

TEST_CASE("CUDA: the encoder of a seeded CenterPoint has the CPU's bytes on a made-up frame, at every edge and run") {
  if (!have_gpu()) return;
#if defined(OCTET_SIMT) && defined(__SANITIZE_ADDRESS__)
  MESSAGE("skipped: half a minute under the sanitisers");
  return;
#endif
  ThreadPool pool(available_threads());
  const models::LoadedModel model = seeded_centerpoint(Precision::int8);
  const QGraph encoder = part_up_to(model.network, "backbone.dense");
  SparseTensor frame = models::made_up_frame(model.points->grid(), *model.points, 3);
  if (kEmulated) thin(frame, 5);
  MESSAGE("sites: ", frame.rows());
  for (const bool keep : {true, false}) {
    if (kEmulated && keep) continue;
    const auto on_cpu = kernels::plan(encoder, {.keep_edges = true});
    const auto program = kernels::plan(encoder, on_gpu(1, keep, frame.rows() / 2));  // it must make more room
    Context cpu(on_cpu, pool), context(program, pool);
    const Edges wanted = run_sparse(cpu, *on_cpu, frame);
    const Edges made = run_sparse(context, *program, frame);
    for (const auto& [edge, values] : made) {
      const auto found = wanted.find(edge);
      REQUIRE(found != wanted.end());
      REQUIRE(values.size() == found->second.size());
      const auto differs = std::mismatch(values.begin(), values.end(), found->second.begin()).first - values.begin();
      CHECK_MESSAGE(differs == static_cast<std::ptrdiff_t>(values.size()),
                    encoder.edges[static_cast<std::size_t>(edge)].name << " at " << differs);
    }
    Tensor first = output_of(*program, 1), again = output_of(*program, 1);
    context.run(frame, first);
    for (int i = 0; i < (kEmulated ? 1 : 5); ++i) {
      context.run(frame, again);
      CHECK(same(first, again));
    }
  }
}

TEST_CASE("a sparse network is planned for CUDA without a device: every step has a kernel and its number of sites") {
  Gpu gpu{.name = "H200", .major = 9, .minor = 0, .multiprocessors = 132, .shared_per_block = 232448};
  for (const Precision precision : {Precision::int8, Precision::fp32}) {
    if (kEmulated && precision == Precision::fp32) continue;
    const models::LoadedModel model = seeded_centerpoint(precision);
    const QGraph encoder = part_up_to(model.network, "backbone.dense");
    kernels::PlanOptions options;
    options.gpu = gpu;
    const auto program = kernels::plan(encoder, options);
    int convolutions = 0;
    for (const Step& step : program->steps) {
      CHECK_MESSAGE((step.launch != nullptr), step.name);
      convolutions += step.rulebook >= 0;
      if (step.rulebook < 0) continue;
      const View& in = program->slots[static_cast<std::size_t>(step.inputs[0])].view;
      CHECK_MESSAGE((in.c * size_of(in.type) <= 4 || in.stride_w * size_of(in.type) % 16 == 0 || in.c == 5), step.name);
    }
    CHECK(convolutions == 21);
  }
}
