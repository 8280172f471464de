// Voxels on CUDA: the CPU's, bit by bit. Skipped, visibly, where there is no device.
#include "kernels/voxelise.h"
#include "runtime/cuda/voxel_memory.h"
#include "tests/cuda_tester.h"

using namespace octet;
using namespace octet::test;

namespace {

#ifdef OCTET_SIMT  // tests/simt/: a processor that does every thread's work by itself
constexpr int kClouds = 24, kMostPoints = 2000;
#else
constexpr int kClouds = 60, kMostPoints = 6000;
#endif

// Runs the voxeliser's kernel as an executor does.
class DeviceVoxels {
 public:
  DeviceVoxels(const VoxelOptions& o, int features, int batch, int points, int voxels)
      : sites_("test", plan_of(o.grid), batch, std::vector<std::int64_t>{voxels}),
        voxels_(o, features, batch, std::max(points, 1), sites_),
        sites_memory_(cuda::allocate_device(sites_.bytes(), "a test")),
        memory_(cuda::allocate_device(voxels_.bytes(), "a test")),
        rows_(cuda::allocate_device(sizeof(std::int32_t), "a test")),
        means_(cuda::allocate_device(static_cast<std::size_t>(voxels * features) * sizeof(float), "a test")),
        tally_(cuda::allocate_device(sizeof(cuda::VoxelTally), "a test")) {
    sites_.place(sites_memory_.data(), reinterpret_cast<std::int32_t*>(rows_.data()));
    voxels_.place(memory_.data(), sites_, reinterpret_cast<float*>(means_.data()),
                  reinterpret_cast<cuda::VoxelTally*>(tally_.data()));
  }
  VoxelCounts run(PointClouds clouds, SparseTensor& out) {
    const cuda::VoxelTask& task = voxels_.task();
    std::vector<std::int32_t> first{0};
    std::vector<float> all;
    for (const auto cloud : clouds) {
      all.insert(all.end(), cloud.begin(), cloud.end());
      first.push_back(static_cast<std::int32_t>(all.size()) / task.features);
    }
    const auto copy = [](void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
      if (size > 0) cuda::check(cudaMemcpy(to, from, size, kind), "a test");
    };
    copy(voxels_.points(), all.data(), all.size() * sizeof(float), cudaMemcpyHostToDevice);
    copy(voxels_.first(), first.data(), first.size() * sizeof(std::int32_t), cudaMemcpyHostToDevice);
    cuda::check(cudaStreamSynchronize(nullptr), "a test");
    const Gpu& gpu = cuda::status().gpu;
    StepArgs args;
    args.params = &task;
    const auto choice = kernels::cuda::choose("voxelise", gpu, args);
    cuda::check(static_cast<cudaError_t>(choice.kernel->launch(args, {stream_.get(), &gpu, nullptr, 0})), "voxelise");
    stream_.synchronise("voxelise");
    cuda::VoxelTally tally;
    std::int32_t rows = 0;
    copy(&tally, task.tally, sizeof tally, cudaMemcpyDeviceToHost);
    copy(&rows, task.level.rows, sizeof rows, cudaMemcpyDeviceToHost);
    out.keys.resize(static_cast<std::size_t>(rows));
    out.features = Tensor(DType::f32, Shape{rows, task.features});
    copy(out.keys.data(), task.level.keys, out.keys.size() * sizeof(std::int64_t), cudaMemcpyDeviceToHost);
    copy(out.features.raw(), task.means, out.features.bytes(), cudaMemcpyDeviceToHost);
    return {.points = first.back(),
            .not_finite = tally.not_finite,
            .out_of_range = tally.out_of_range,
            .beyond_max = tally.beyond_max,
            .voxels = rows,
            .dropped_voxels = tally.voxels - rows};
  }

 private:
  static SparsePlan plan_of(const SparseGrid& grid) {
    SparsePlan plan;
    plan.add_input(grid);
    return plan;
  }
  cuda::SitesMemory sites_;
  cuda::VoxelMemory voxels_;
  cuda::DeviceMemory sites_memory_, memory_, rows_, means_, tally_;
  cuda::Stream stream_;
};

// Some points twice, some with the same first feature, hundreds in one voxel if `crowded`, a few that are no numbers.
std::vector<float> random_cloud(Random& random, int points, int features, bool crowded) {
  std::vector<float> cloud(static_cast<std::size_t>(points * features));
  random.fill(cloud, 3.5);
  for (int p = 0; p < points; ++p) {
    float* const at = cloud.data() + p * features;
    if (random.chance(0.3)) at[0] = 0.25f;
    if (p > 0 && random.chance(0.2)) std::copy_n(at - features, features, at);
    if (crowded && p % 7 == 0) at[0] = 0.1f, at[1] = 0.2f, at[2] = 0.3f;
    if (random.chance(0.01)) at[random.between(0, features - 1)] = random.chance(0.5) ? std::nanf("") : kInfinity;
    if (random.chance(0.01)) at[0] = -0.0f;
  }
  return cloud;
}

// Another order of the same points.
void shuffle(Random& random, std::vector<float>& cloud, int features) {
  for (int p = static_cast<int>(cloud.size()) / features - 1; p > 0; --p) {
    std::swap_ranges(cloud.begin() + p * features, cloud.begin() + (p + 1) * features,
                     cloud.begin() + random.between(0, p - 1) * features);
  }
}

void compare(const VoxelCounts& wanted_counts, const SparseTensor& wanted, const VoxelCounts& counts,
             const SparseTensor& made) {
  CHECK(counts.points == wanted_counts.points);
  CHECK(counts.not_finite == wanted_counts.not_finite);
  CHECK(counts.out_of_range == wanted_counts.out_of_range);
  CHECK(counts.beyond_max == wanted_counts.beyond_max);
  CHECK(counts.dropped_voxels == wanted_counts.dropped_voxels);
  REQUIRE(counts.voxels == wanted_counts.voxels);
  CHECK(made.keys == wanted.keys);
  const auto a = made.features.span<float>(), b = wanted.features.span<float>();
  const auto equal = [](float x, float y) { return std::memcmp(&x, &y, sizeof x) == 0; };
  const auto differs = std::mismatch(a.begin(), a.end(), b.begin(), equal).first - a.begin();
  CHECK_MESSAGE(differs == static_cast<std::ptrdiff_t>(a.size()), "feature " << differs << " of all rows");
}

}  // namespace

TEST_CASE("voxels on CUDA are the CPU's, bit by bit and count by count, whatever the order of the points") {
  if (!have_gpu()) return;
  Random random(14);
  ThreadPool pool(2);
  int several = 0, crowded = 0, dropped = 0;
  for (int i = 0; i < kClouds; ++i) {
    CAPTURE(i);
    const int features = random.between(3, 7), batch = random.between(1, 3);
    VoxelOptions o{.low = {-2, -3, -1}, .size = {0.3, 0.5, 1.0}, .grid = {4, 12, 16}, .filled = {3, 12, 16}};
    if (i % 3 == 0) o.grid = {7, 90, 110}, o.filled = {6, 90, 110}, o.size = {0.06, 0.07, 0.3};
    if (i % 4 == 1) o.max_voxels = random.between(1, i % 8 == 1 ? 40 : 400);
    o.max_points = random.between(1, 12);
    std::vector<std::vector<float>> clouds;
    for (int b = 0; b < batch; ++b) {
      const int points = random.chance(0.1) ? 0 : random.between(1, kMostPoints);
      clouds.push_back(random_cloud(random, points, features, i % 5 == 0));
    }
    const std::vector<std::span<const float>> spans(clouds.begin(), clouds.end());
    kernels::Voxeliser voxeliser(o);
    SparseTensor wanted, made;
    const VoxelCounts expected = voxeliser.run(spans, features, pool, wanted);
    DeviceVoxels device(o, features, batch, static_cast<int>(expected.points), 20000);
    for (int order = 0; order < 3; ++order) {
      compare(expected, wanted, device.run(spans, made), made);
      for (std::vector<float>& cloud : clouds) shuffle(random, cloud, features);  // the spans see it
    }
    several += batch > 1, crowded += expected.beyond_max > 100, dropped += expected.dropped_voxels > 0;
  }
  CHECK(several > kClouds / 8);
  CHECK(crowded > kClouds / 8);
  CHECK(dropped > 0);
}
