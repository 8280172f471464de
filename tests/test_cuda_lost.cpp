// A device that is lost in the middle of a run. Alone in its program: no CUDA call works after it.
#include <doctest/doctest.h>

#include "runtime/cuda/device.h"
#include "runtime/error.h"
#include "tests/program_graphs.h"

using namespace octet;
using namespace octet::test;

TEST_CASE("CUDA: a lost device is a clear error, nothing hangs, and the CPU goes on") {
  if (!cuda::status().usable) {
    MESSAGE("skipped: ", cuda::status().why);
    return;
  }
  const Quantised q = quantised(chain(), calib::Scheme::affine, 2);
  kernels::PlanOptions options;
  options.batch = 2, options.gpu = cuda::status().gpu;
  const auto program = kernels::plan(q.graph, options);
  ThreadPool pool(1);
  Tensor wanted = output_for(*program, 2), output = output_for(*program, 2);
  const auto healthy = std::make_unique<Context>(program, pool);
  healthy->run(q.input, wanted);

  // A kernel that writes far outside of the device's memory ends the context of the whole process.
  auto broken = std::make_shared<Program>(*program);
  for (Slot& slot : broken->slots) {
    if (slot.place == Place::arena) slot.offset += std::int64_t{1} << 44;
  }
  const auto message = [&](auto act) -> std::string {
    try {
      act();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const std::string lost = message([&] {
    Context context(broken, pool);
    context.run(q.input, output);
  });
  CHECK_MESSAGE(lost.find("the device is lost to this process") != std::string::npos, lost);
  CHECK(message([&] { healthy->run(q.input, output); }) != "");
  CHECK(message([&] { Context context(program, pool); }) != "");

  options.gpu.reset();
  const auto on_cpu = kernels::plan(q.graph, options);
  Context context(on_cpu, pool);
  context.run(q.input, output);
  CHECK(std::memcmp(output.raw(), wanted.raw(), wanted.bytes()) == 0);
}
