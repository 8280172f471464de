// Runs one CUDA kernel on one case of kernel_makers.h: laid out as kernels/cuda/layout.h says, copied to the device
// with guards and poison around it, and back. The promises are the CPU's: the reference's bytes, nothing written
// outside of the view, the input untouched.
#pragma once

#include <doctest/doctest.h>

#include "kernels/cuda/layout.h"
#include "kernels/cuda/registry.h"
#include "kernels/plan/selection.h"
#include "runtime/cuda/constants.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/memory.h"
#include "tests/kernel_makers.h"

namespace octet::test {

using CudaKernel = kernels::cuda::Kernel;

// Whether there is a device; says so once when there is none.
inline bool have_gpu() {
  const cuda::Status& status = cuda::status();
  if (!status.usable) MESSAGE("skipped: ", status.why);
  return status.usable;
}

// The plane with its channels laid out as in a CUDA program: slices and pixels at multiples of 16 bytes. What comes
// from the caller (NCHW, photos) stays as it is.
inline Plane for_gpu(Plane p, bool photo = false) {
  if (p.planar || photo) return p;
  const int vector = static_cast<int>(kernels::cuda::kVectorBytes) / size_of(p.type);
  p.channels_before = (p.channels_before + vector - 1) / vector * vector;
  const int used = p.channels_before + p.c + p.channels_after;
  const bool alone = p.channels_before + p.channels_after == 0;
  const std::int64_t pitch =
      alone ? kernels::cuda::pixel_pitch(p.c, p.type) / size_of(p.type) : (used + vector - 1) / vector * vector;
  p.channels_after = static_cast<int>(pitch) - p.channels_before - p.c;
  return p;
}

// A Laid plane and its twin on the device.
class OnDevice {
 public:
  OnDevice(const Plane& plane, std::uint8_t poison, const std::vector<float>* values)
      : laid_(plane, {}, poison), memory_(cuda::allocate_device(laid_.memory().size(), "a test")) {
    if (values != nullptr) laid_.fill(*values);
    copy(memory_.data(), laid_.memory().data(), cudaMemcpyHostToDevice);
  }
  void fetch() { copy(laid_.memory().data(), memory_.data(), cudaMemcpyDeviceToHost); }
  // Small pixels stand alone, so their kernels may write the bytes behind the last channel: those are the poison again.
  void forget_small_padding(std::uint8_t poison) {
    const View& v = laid_.view;
    if (v.stride_w * size_of(v.type) != kernels::cuda::kSmallPixel || v.stride_c != 1) return;
    for (std::byte* pixel = v.data; pixel < v.data + v.stride_n * v.n * size_of(v.type); pixel += 4) {
      for (int i = v.c * size_of(v.type); i < kernels::cuda::kSmallPixel; ++i) pixel[i] = std::byte{poison};
    }
  }
  const Laid& laid() const { return laid_; }
  View view() {
    View v = laid_.view;
    v.data = memory_.data() + (laid_.view.data - laid_.memory().data());
    return v;
  }

 private:
  void copy(void* to, const void* from, cudaMemcpyKind kind) {
    cuda::check(cudaMemcpy(to, from, laid_.memory().size(), kind), "a test's copy");
    cuda::check(cudaStreamSynchronize(nullptr), "a test's copy");
  }
  Laid laid_;
  cuda::DeviceMemory memory_;
};

inline bool takes_photos(const CudaKernel& kernel) { return std::string_view(kernel.op).starts_with("lookup"); }

inline StepArgs cuda_prototype(const CudaKernel& kernel, const Case& test, std::vector<View>& views) {
  for (const Plane& p : test.inputs) {
    views.push_back(Laid(for_gpu(p, takes_photos(kernel)), {}, 0).view);
    views.back().data = nullptr;
  }
  View out = Laid(for_gpu(test.output), {}, 0).view;
  out.data = nullptr;
  return {views.data(), static_cast<std::int32_t>(views.size()), out, test.params.get(), nullptr};
}

inline Outcome run_cuda_kernel(const CudaKernel& kernel, const Case& test, int config, std::uint8_t poison) {
  const Gpu& gpu = cuda::status().gpu;
  Outcome outcome;
  std::vector<std::unique_ptr<OnDevice>> inputs;
  std::vector<View> views;
  for (const Plane& plane : test.inputs) {
    inputs.push_back(std::make_unique<OnDevice>(for_gpu(plane, takes_photos(kernel)), poison, &plane.values));
    views.push_back(inputs.back()->view());
  }
  OnDevice output(for_gpu(test.output), static_cast<std::uint8_t>(poison ^ 0x33), nullptr);
  StepArgs args{views.data(), static_cast<std::int32_t>(views.size()), output.view(), test.params.get(), nullptr};

  // The constants go the way that a program's go.
  Program program;
  Step& step = program.steps.emplace_back();
  step.params = test.params;
  std::unique_ptr<Guarded> packed;
  if (test.set_weights) {
    step.packed_bytes = kernel.packed_bytes(args, config);
    packed = std::make_unique<Guarded>(step.packed_bytes);
    kernel.pack(args, config, test.weights.raw(), packed->data());
    if (!packed->intact()) outcome.error = "pack() wrote behind the packed weights";
    test.set_weights(packed->data());
  }
  kernels::describe_constants(kernel.op, step, args);
  const auto constants = cuda::make_constants();
  constants->upload(program);
  args.params = constants->params(0);

  const cuda::Stream stream;
  const std::size_t workspace_bytes = kernel.workspace_bytes == nullptr ? 0 : kernel.workspace_bytes(args, gpu, config);
  const cuda::DeviceMemory workspace = cuda::allocate_device(workspace_bytes + 256, "a test");
  cuda::check(cudaMemsetAsync(workspace.data(), 0xA7, workspace.size(), stream.get()), "a test");
  const cuda::DeviceMemory fault = cuda::allocate_device(sizeof(std::int32_t), "a test");
  args.fault = reinterpret_cast<std::int32_t*>(fault.data());
  const GpuLaunch launch{stream.get(), &gpu, workspace.data(), config};
  cuda::check(static_cast<cudaError_t>(kernel.launch(args, launch)), kernels::cuda::name_of(kernel));
  stream.synchronise(kernels::cuda::name_of(kernel));

  output.fetch();
  output.forget_small_padding(static_cast<std::uint8_t>(poison ^ 0x33));
  outcome.values = output.laid().read();
  std::vector<std::byte> guard(256);
  cuda::check(cudaMemcpy(guard.data(), workspace.data() + workspace_bytes, 256, cudaMemcpyDeviceToHost), "a test");
  if (guard != std::vector<std::byte>(256, std::byte{0xA7})) outcome.error = "it wrote behind its workspace";
  if (!output.laid().clean_outside({})) outcome.error = "it wrote outside of its output";
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs[i]->fetch();
    if (!inputs[i]->laid().clean_outside({}) || inputs[i]->laid().read() != test.inputs[i].values) {
      outcome.error = "it changed its input";
    }
  }
  std::int32_t met = 0;
  cuda::check(cudaMemcpy(&met, fault.data(), sizeof met, cudaMemcpyDeviceToHost), "a test");
  if (met != 0) outcome.error = "a NaN was reported";
  return outcome;
}

// The first broken promise of `kernel` with `config` on `test`; empty when it keeps them all.
inline std::string examine_cuda(const CudaKernel& kernel, int config, const Case& test,
                                const std::vector<float>& wanted) {
  for (const int poison : {0xFF, 0x5A}) {  // 0xFF bytes are NaNs as floats
    const Outcome made = run_cuda_kernel(kernel, test, config, static_cast<std::uint8_t>(poison));
    if (!made.error.empty()) return made.error;
    if (made.values.size() != wanted.size()) return "another number of values";
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double bound = test.bound.empty() ? 0.0 : test.bound[i];
      const double off = std::fabs(static_cast<double>(made.values[i]) - static_cast<double>(wanted[i]));
      if (!(off <= bound) && made.values[i] != wanted[i]) {
        return fmt::format("[{}] is {}, the reference has {} (config {}, poison {:#x})", i, made.values[i], wanted[i],
                           config, poison);
      }
    }
  }
  return "";
}

}  // namespace octet::test
