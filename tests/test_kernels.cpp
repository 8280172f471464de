// Every kernel of variants.def against the reference of its operation; a new row is covered without a change here. The
// promises that are checked are listed in kernel_tester.h, the shapes of weighted layers in kernel_cases.h.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/kernel_makers.h"

using namespace octet;
using namespace octet::test;

namespace {

StepArgs prototype(const Case& test, std::vector<View>& views) {
  for (const Plane& p : test.inputs) views.push_back(Laid(p, {}, 0).view), views.back().data = nullptr;
  View out = Laid(test.output, {}, 0).view;
  out.data = nullptr;
  return {views.data(), static_cast<std::int32_t>(views.size()), out, test.params.get(), nullptr};
}

// Every operation of variants.def, once.
std::vector<std::string> operations() {
  std::vector<std::string> names;
  for (const Kernel* kernel : kernels::all_kernels()) {
    if (std::ranges::find(names, kernel->op) == names.end()) names.push_back(kernel->op);
  }
  return names;
}

std::vector<const Kernel*> kernels_of(const std::string& op) {
  std::vector<const Kernel*> found;
  for (const Kernel* kernel : kernels::all_kernels()) {
    if (kernel->op == op) found.push_back(kernel);
  }
  return found;
}

// Under emulation each processor model is asked for its own instruction sets alone (neon.sh names them in
// OCTET_TEST_ISAS, separated by spaces).
bool examined(const Kernel& kernel) {
  if (!kernels::supported(kernels::isa_of(kernel))) return false;
  const char* wanted = std::getenv("OCTET_TEST_ISAS");
  return wanted == nullptr || fmt::format(" {} ", wanted).find(fmt::format(" {} ", kernel.isa)) != std::string::npos;
}

}  // namespace

TEST_CASE("every kernel keeps its promises") {
  std::string skipped;
  for (const std::string& op : operations()) {
    const auto maker = makers().find(op);
    REQUIRE_MESSAGE(maker != makers().end(), "no cases for the operation " << op);
    const Kernel& reference = reference_of(op);
    Random random(20261122);
    const std::vector<Case> cases = maker->second(reference, random);
    std::vector<Outcome> wanted(cases.size());
    for (const Kernel* kernel : kernels_of(op)) {
      const std::string name = kernels::name_of(*kernel);
      if (!examined(*kernel)) {
        skipped += " " + name + " (not on this machine)";
        continue;
      }
      int run = 0, refused = 0;
      for (std::size_t i = 0; i < cases.size(); ++i) {
        std::vector<View> views;
        if (kernel->refuse(prototype(cases[i], views)) != nullptr) {
          ++refused;
          continue;
        }
        if (wanted[i].values.empty()) wanted[i] = wanted_of(reference, cases[i]);
        const std::string error = examine(*kernel, wanted[i], cases[i]);
        CHECK_MESSAGE(error.empty(), name << " case " << i << " " << cases[i].name << ": " << error);
        ++run;
      }
      CHECK_MESSAGE(run > 0, name << " refused every case");
      if (refused > 0) skipped += fmt::format(" {} ({} of {} refused)", name, refused, cases.size());
    }
  }
  if (!skipped.empty()) MESSAGE("skipped:", skipped);
}

TEST_CASE("kernels that take in a 2x2 max-pool give the bytes of both steps") {
  for (const std::string& op : operations()) {
    const Kernel& reference = reference_of(op);
    Random random(20261123);
    std::vector<Case> cases;
    std::vector<Outcome> wanted;
    for (const Kernel* kernel : kernels_of(op)) {
      if (!kernel->fuses_max_pool || !examined(*kernel)) continue;
      if (cases.empty()) {
        for (Case& test : makers().at(op)(reference, random)) {
          if (fuse_pool(reference, test)) cases.push_back(std::move(test));
        }
        for (const Case& test : cases) wanted.push_back(wanted_of(reference, test));
      }
      int run = 0;
      for (std::size_t i = 0; i < cases.size(); ++i) {
        std::vector<View> views;
        if (kernel->refuse(prototype(cases[i], views)) != nullptr) continue;
        const std::string error = examine(*kernel, wanted[i], cases[i]);
        CHECK_MESSAGE(error.empty(), kernels::name_of(*kernel) << " " << cases[i].name << ": " << error);
        ++run;
      }
      CHECK_MESSAGE(run > 10, kernels::name_of(*kernel));
    }
  }
}

TEST_CASE("every quantiser reports a NaN, wherever it stands") {
  for (const Kernel* kernel : kernels::all_kernels()) {
    if (std::string_view(kernel->op) != "quantise_s8" || !examined(*kernel)) continue;
    for (const bool planar : {false, true}) {
      for (std::size_t where = 0; where < 2 * 3 * 5 * 7; ++where) {
        Plane in{.type = DType::f32, .n = 2, .h = 3, .w = 5, .c = 7, .planar = planar};
        in.values.assign(in.elements(), 1.0f);
        in.values[where] = std::numeric_limits<float>::quiet_NaN();
        const Laid from(in, {}, 0), to({.n = 2, .h = 3, .w = 5, .c = 7}, {}, 0);
        from.fill(in.values);
        const kernels::QuantiseParams params;
        std::int32_t fault = 0;
        const StepArgs args{&from.view, 1, to.view, &params, &fault};
        kernel->run(args, 0, kernel->tiles(args), nullptr);
        CHECK_MESSAGE(fault != 0, kernels::name_of(*kernel) << " missed the NaN at " << where);
      }
    }
  }
}

TEST_CASE("a NaN survives every float max-pool and float activation") {
  for (const Kernel* kernel : kernels::all_kernels()) {
    if (std::string_view(kernel->op) != "max_pool_f32" || !examined(*kernel)) continue;
    for (std::size_t where = 0; where < 9; ++where) {
      Plane in{.type = DType::f32, .n = 1, .h = 3, .w = 3, .c = 1};
      in.values = {1, 2, 3, 4, 5, 6, 7, 8, 9};
      in.values[where] = std::numeric_limits<float>::quiet_NaN();
      const Laid from(in, {}, 0), to({.type = DType::f32}, {}, 0);
      from.fill(in.values);
      const kernels::PoolParams params{.window = Window::square(3)};
      const StepArgs args{&from.view, 1, to.view, &params, nullptr};
      kernel->run(args, 0, kernel->tiles(args), nullptr);
      CHECK_MESSAGE(std::isnan(to.read()[0]), kernels::name_of(*kernel) << " lost the NaN at " << where);
    }
  }
  CHECK(std::isnan(arithmetic::clamp_real(std::numeric_limits<float>::quiet_NaN(), 0.0f, 6.0f)));
}

TEST_CASE("affine layers round after the multiplication and again after the addition") {
  for (const Kernel* kernel : kernels::all_kernels()) {
    if (std::string_view(kernel->op) != "affine_f32" || !examined(*kernel)) continue;
    Plane in{.type = DType::f32, .h = 10, .w = 10, .c = 1};
    Laid to(in, {}, 0);
    for (int i = 1; i <= 100; ++i) in.values.push_back(1.0f + static_cast<float>(i) * 0x1p-23f);
    const Laid from(in, {}, 0);
    from.fill(in.values);
    int sensitive = 0;
    for (const float& x : in.values) {
      // x * scale + shift = fl(x * x) - fl(x * x) = 0; a fused multiply-add gives the rounding error instead.
      const auto square = static_cast<float>(static_cast<double>(x) * static_cast<double>(x)), shift = -square;
      const kernels::AffineParams params{.scale = &x, .shift = &shift, .lo = -kInfinity, .hi = kInfinity};
      const StepArgs args{&from.view, 1, to.view, &params, nullptr};
      kernel->run(args, 0, kernel->tiles(args), nullptr);
      const std::vector<float> made = to.read();
      const auto at = static_cast<std::size_t>(&x - in.values.data());
      CHECK_MESSAGE(made[at] == 0.0f, kernels::name_of(*kernel) << " fuses");
      sensitive += std::fma(x, x, shift) != 0.0f;
    }
    CHECK(sensitive > 90);
  }
}
