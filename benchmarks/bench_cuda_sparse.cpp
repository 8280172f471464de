// bench_cuda_sparse: CenterPoint's sparse encoder with seeded weights on a real frame, on the GPU.
//
//     bench_cuda_sparse FRAME [int8|fp32] [RUNS]
//
// Prints the sites of each level, then what each step takes from its launch to the host knowing that it is done (the
// best of 20: a few microseconds of that are the host's), and the whole from the host's voxels to the host's result.
// The kernels by themselves: ncu --metrics gpu__time_duration.sum bench_cuda_sparse FRAME int8 1.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "kernels/plan/plan.h"
#include "models/centerpoint/detector.h"
#include "runtime/cuda/device.h"
#include "runtime/error.h"
#include "runtime/io/points.h"
#include "tests/network_part.h"

using namespace octet;
using Clock = std::chrono::steady_clock;

namespace {

double microseconds(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void time_steps(Context& context, const Program& program, const SparseTensor& frame, Tensor& output) {
  context.run_timed(frame, output, [&](std::size_t index, const std::function<void()>& execute) {
    double best = 1e9;
    for (int i = 0; i < 20; ++i) {
      const auto start = Clock::now();
      execute();
      best = std::min(best, microseconds(Clock::now() - start));
    }
    fmt::print("  {:<28} {:<24} {:8.1f} us\n", program.steps[index].name, program.steps[index].variant, best);
  });
}

int run(int argc, char** argv) {
  require(argc >= 2, "bench_cuda_sparse FRAME [int8|fp32] [RUNS]");
  const bool real = argc > 2 && std::string_view(argv[2]) == "fp32";
  const int runs = argc > 3 ? std::atoi(argv[3]) : 200;
  models::LoadOptions load;
  load.precision = real ? Precision::fp32 : Precision::int8;
  const models::LoadedModel model = models::load_model("centerpoint", load);
  ThreadPool pool(available_threads());
  kernels::Voxeliser voxeliser(models::voxel_options(*model.points));
  SparseTensor frame;
  const Tensor points = read_points(argv[1]).points;
  voxeliser.run(points.span<float>(), 5, pool, frame);

  kernels::PlanOptions options;
  options.gpu = cuda::choose_device("cuda");
  options.sites = model.points->max_voxels;
  const auto program = kernels::plan(test::part_up_to(model.network, "backbone.dense"), options);
  Context context(program, pool);
  const Shape& s = program->output_like.shape();
  Tensor output = context.host_tensor(DType::f32, Shape{1, s[0], s[1], s[2]});
  context.run(frame, output);
  fmt::print("{} points, sites", points.shape()[0]);
  for (int level = 0; level < static_cast<int>(program->sparse.levels().size()); ++level)
    fmt::print(" {}", context.geometry()->rows(level));
  fmt::print(", {} MB on the device and pinned\n", context.memory_bytes() >> 20);
  if (runs > 1) time_steps(context, *program, frame, output);
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    const auto start = Clock::now();
    context.run(frame, output);
    times.push_back(microseconds(Clock::now() - start));
  }
  fmt::print("voxels to dense map, host to host: median {:.1f} us of {} runs\n", median(times), runs);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
