// Every kernel of kernels/cuda/variants.def, in every launch configuration, against the CPU reference of its operation;
// a new row is covered without a change here. Skipped, visibly, where there is no device.
#include "tests/cuda_tester.h"

using namespace octet;
using namespace octet::test;

namespace {

#ifdef OCTET_SIMT                    // tests/simt/: a processor that does every thread's work by itself
constexpr std::size_t kStride = 11;  // of the cases
#else
constexpr std::size_t kStride = 1;
#endif

// Layers of real networks, large enough for several tiles of a tensor-core kernel in every direction.
std::vector<ConvShape> large_layers(std::string_view op) {
  if (op.starts_with("depthwise")) {
    return {{2, 56, 56, 144, 144, Window::square(3, 2, 1), 144},
            {3, 14, 14, 576, 576, Window::square(3, 1, 1), 576},
            {1, 28, 28, 240, 240, Window::square(5, 1, 2), 240},
            {2, 7, 7, 960, 960, Window::square(3, 1, 1), 960}};
  }
  if (op.starts_with("linear")) return {{33, 1, 1, 1280, 1000, {}}, {2, 7, 7, 40, 130, {}}, {130, 1, 1, 64, 257, {}}};
  return {{2, 32, 32, 3, 64, Window::square(7, 2, 3)},    {1, 40, 36, 3, 32, Window::square(3, 2, 1)},
          {1, 64, 64, 3, 16, Window::square(5)},          {2, 14, 14, 256, 64, Window::square(1)},
          {3, 7, 7, 96, 320, Window::square(1)},          {1, 28, 28, 64, 128, Window::square(3, 1, 1)},
          {2, 15, 15, 128, 128, Window::square(3, 2, 1)}, {1, 28, 28, 192, 136, Window::square(1, 2)},
          {5, 9, 11, 24, 144, Window::square(1)},         {1, 20, 20, 48, 40, Window::square(3, 1, 2, 2)}};
}

bool has_weights(const CudaKernel& kernel) { return kernel.pack != nullptr; }

struct Count {
  int run = 0, refused = 0;
};

// Every configuration of every kernel of `op` on one case; `wanted` is computed once.
void examine_all(const std::vector<const CudaKernel*>& kernels_of_op, const Case& test,
                 std::map<std::string, Count>& counts) {
  const Gpu& gpu = cuda::status().gpu;
  std::vector<float> wanted = test.wanted;
  for (const CudaKernel* kernel : kernels_of_op) {
    const std::string name = kernels::cuda::name_of(*kernel);
    std::vector<View> views;
    const StepArgs args = cuda_prototype(*kernel, test, views);
    if (kernel->refuse(args, gpu) != nullptr) {
      ++counts[name].refused;
      continue;
    }
    if (wanted.empty()) {
      const Outcome reference = run_kernel(reference_of(kernel->op), test, 0xFF, 0);
      REQUIRE_MESSAGE(reference.error.empty(), reference.error);
      wanted = reference.values;
    }
    if (kernel->configure != nullptr) {
      const int chosen = kernel->configure(args, gpu);
      CHECK_MESSAGE((chosen >= 0 && chosen < kernel->configurations), name << " chose " << chosen);
    }
    for (int config = 0; config < kernel->configurations; ++config) {
      if (kStride > 1 && config != counts[name].run % kernel->configurations) continue;  // one a case
      if (kernel->allows != nullptr && !kernel->allows(args, gpu, config)) continue;
      const std::string error = examine_cuda(*kernel, config, test, wanted);
      CHECK_MESSAGE(error.empty(), name << " " << test.name << ": " << error);
      ++counts[name].run;
    }
  }
}

std::map<std::string, std::vector<const CudaKernel*>> kernels_by_op() {
  std::map<std::string, std::vector<const CudaKernel*>> by_op;
  for (const CudaKernel* kernel : kernels::cuda::all_kernels()) {
    const std::string_view op = kernel->op;
    if (op == "sites" || op == "voxelise") continue;  // they make no activation: test_cuda_sparse
    if (kernels::cuda::supported(*kernel, cuda::status().gpu)) by_op[kernel->op].push_back(kernel);
  }
  return by_op;
}

void report(const std::map<std::string, Count>& counts) {
  std::string lines;
  for (const auto& [name, count] : counts) {
    lines += fmt::format("\n  {}: {} runs, {} cases refused", name, count.run, count.refused);
    CHECK_MESSAGE(count.run > 0, name << " refused every case");
  }
  MESSAGE(lines);
}

}  // namespace

TEST_CASE("every CUDA kernel keeps its promises on the shape sweep") {
  if (!have_gpu()) return;
  std::map<std::string, Count> counts;
  for (const auto& [op, group] : kernels_by_op()) {
    const auto maker = makers().find(op);
    REQUIRE_MESSAGE(maker != makers().end(), "no cases for the operation " << op);
    const Kernel& reference = reference_of(op);
    Random random(20261122);
    const std::vector<Case> cases = maker->second(reference, random);
    for (std::size_t i = 0; i < cases.size(); i += kStride) examine_all(group, cases[i], counts);
    if (!has_weights(*group.front()) || kStride > 1) continue;
    for (const ConvShape& s : large_layers(op)) {
      const std::int64_t depth = op.starts_with("linear")
                                     ? std::int64_t{s.h} * s.w * s.c
                                     : std::int64_t{s.c} / s.groups * s.window.kernel_h * s.window.kernel_w;
      for (int i = 0; i < 2; ++i) examine_all(group, weighted_case(reference, random, s, depth), counts);
    }
  }
  report(counts);
}

TEST_CASE("CUDA kernels that take in a 2x2 max-pool give the bytes of both steps") {
  if (!have_gpu()) return;
  std::map<std::string, Count> counts;
  for (const auto& [op, group] : kernels_by_op()) {
    std::vector<const CudaKernel*> fusing;
    for (const CudaKernel* kernel : group) {
      if (kernel->fuses_max_pool) fusing.push_back(kernel);
    }
    if (fusing.empty()) continue;
    const Kernel& reference = reference_of(op);
    Random random(20261123);
    std::vector<Case> cases = makers().at(op)(reference, random);
    for (std::size_t i = 0; i < cases.size(); i += kStride) {
      if (fuse_pool(reference, cases[i])) examine_all(fusing, cases[i], counts);
    }
  }
  report(counts);
}

TEST_CASE("every CUDA quantiser reports a NaN, wherever it stands") {
  if (!have_gpu()) return;
  const auto by_op = kernels_by_op();
  for (const CudaKernel* kernel : by_op.at("quantise_s8")) {
    for (const std::size_t where : {0, 1, 6, 7, 104, 105, 208, 209}) {
      Case test;
      test.inputs = {{.type = DType::f32, .n = 2, .h = 3, .w = 5, .c = 7}};
      test.inputs[0].values.assign(test.inputs[0].elements(), 1.0f);
      test.inputs[0].values[where] = std::numeric_limits<float>::quiet_NaN();
      test.output = {.n = 2, .h = 3, .w = 5, .c = 7};
      test.params = std::make_shared<kernels::QuantiseParams>();
      const Outcome made = run_cuda_kernel(*kernel, test, 0, 0x5A);
      CHECK_MESSAGE(made.error == "a NaN was reported", kernels::cuda::name_of(*kernel)
                                                            << " missed the NaN at " << where);
    }
  }
}

TEST_CASE("CUDA affine layers round after the multiplication and again after the addition") {
  if (!have_gpu()) return;
  const auto by_op = kernels_by_op();
  for (const CudaKernel* kernel : by_op.at("affine_f32")) {
    int sensitive = 0;
    for (int i = 1; i <= 100; ++i) {
      // x * scale + shift = fl(x * x) - fl(x * x) = 0; a fused multiply-add gives the rounding error instead.
      const float x = 1.0f + static_cast<float>(i) * 0x1p-23f;
      const auto square = static_cast<float>(static_cast<double>(x) * static_cast<double>(x)), shift = -square;
      Case test;
      test.inputs = {{.type = DType::f32, .values = {x}}};
      test.output = {.type = DType::f32};
      test.params = std::make_shared<kernels::AffineParams>(
          kernels::AffineParams{.scale = &x, .shift = &shift, .lo = -kInfinity, .hi = kInfinity});
      CHECK_MESSAGE(run_cuda_kernel(*kernel, test, 0, 0x5A).values[0] == 0.0f, kernels::cuda::name_of(*kernel)
                                                                                   << " fuses");
      sensitive += std::fma(x, x, shift) != 0.0f;
    }
    CHECK(sensitive > 90);
  }
}
