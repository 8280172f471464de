// The kernels of operations that no GPU has run yet, against the CPU reference, on the emulated device: some cases of
// each, since every thread is a fiber. tests/test_cuda_kernels.cpp runs all of them where there is a GPU.
#include "tests/cuda_tester.h"

using namespace octet;
using namespace octet::test;

TEST_CASE("emulated device: functions, products, softmax, moved pixels, transposed convolutions") {
  REQUIRE(have_gpu());
  constexpr std::size_t kCases = 10;
  int runs = 0;
  for (const char* op : {"table_s8", "function_f32", "mul_f32", "softmax_f32", "resample_s8", "resample_f32",
                         "conv_transpose2d_s8", "conv_transpose2d_f32"}) {
    CAPTURE(op);
    const Kernel& reference = reference_of(op);
    Random random(20261126);
    std::vector<Case> cases = makers().at(op)(reference, random);
    cases.resize(std::min(cases.size(), kCases));
    for (const CudaKernel* kernel : kernels::cuda::all_kernels()) {
      if (std::string_view(kernel->op) != op) continue;
      for (const Case& test : cases) {
        const std::vector<float> wanted =
            test.wanted.empty() ? run_kernel(reference, test, 0xFF, 0).values : test.wanted;
        const std::string error = examine_cuda(*kernel, 0, test, wanted);
        CHECK_MESSAGE(error.empty(), kernels::cuda::name_of(*kernel) << " " << test.name << ": " << error);
        ++runs;
      }
    }
  }
  CHECK(runs == 8 * static_cast<int>(kCases));
}
