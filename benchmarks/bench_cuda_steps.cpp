// bench_cuda_steps: what the steps of a network take on the device, without the copies of its input and output.
//
//     bench_cuda_steps MODEL [BATCH] [--no-steps]      catdog, resnet50, ... ; centerpoint: its dense half
//
// One line of CSV for each step: a CUDA graph of 20 launches of it alone (its data in L2, as behind the step before),
// and a last line for a graph of all of them in order; medians of 100 replays, measured by the device's own clock.
// Weights are seeded where none are shipped.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "kernels/cuda/registry.h"
#include "kernels/plan/plan.h"
#include "models/loaded_model.h"
#include "runtime/cuda/constants.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/memory.h"
#include "runtime/error.h"
#include "runtime/program.h"
#include "runtime/qgraph_parts.h"

using namespace octet;

namespace {

class Steps {
 public:
  explicit Steps(const Program& program) : program_(program) {
    program_.constants->upload(program_);
    std::size_t workspace = 0;
    for (const Step& step : program_.steps) workspace = std::max(workspace, step.scratch_bytes);
    const auto bytes_of = [&](const Tensor& like) {
      return static_cast<std::size_t>(like.shape().elements() * size_of(like.dtype())) *
             static_cast<std::size_t>(program_.batch);
    };
    arena_ = cuda::allocate_device(program_.arena_bytes, "the activations");
    workspace_ = cuda::allocate_device(workspace + 256, "the workspace");
    input_ = cuda::allocate_device(bytes_of(program_.input_like), "the input");
    output_ = cuda::allocate_device(bytes_of(program_.output_like), "the output");
    fault_ = cuda::allocate_device(256, "the fault flag");
    views_.resize(program_.steps.size());
  }

  void launch(std::size_t i) {
    const Step& step = program_.steps[i];
    views_[i].clear();
    for (const int input : step.inputs) views_[i].push_back(resolve(input));
    const StepArgs args{views_[i].data(), static_cast<std::int32_t>(views_[i].size()), resolve(step.output),
                        program_.constants->params(i), reinterpret_cast<std::int32_t*>(fault_.data())};
    const GpuLaunch launch{stream_.get(), &program_.gpu, workspace_.data(), step.config};
    cuda::check(static_cast<cudaError_t>(step.launch(args, launch)), step.name);
  }

  // Median microseconds of what `record` puts on the stream, as one graph.
  double time(const std::function<void()>& record) {
    const cuda::LaunchGraph graph(stream_, record);
    cudaEvent_t begin, end;
    cuda::check(cudaEventCreate(&begin), "timing");
    cuda::check(cudaEventCreate(&end), "timing");
    std::vector<float> ms(100);
    for (int i = -10; i < static_cast<int>(ms.size()); ++i) {
      float taken = 0;
      cuda::check(cudaEventRecord(begin, stream_.get()), "timing");
      graph.launch(stream_);
      cuda::check(cudaEventRecord(end, stream_.get()), "timing");
      stream_.synchronise("timing");
      cuda::check(cudaEventElapsedTime(&taken, begin, end), "timing");
      if (i >= 0) ms[static_cast<std::size_t>(i)] = taken;
    }
    cudaEventDestroy(begin), cudaEventDestroy(end);
    std::ranges::sort(ms);
    return 1e3 * static_cast<double>(ms[ms.size() / 2]);
  }

 private:
  View resolve(int index) const {
    const Slot& slot = program_.slots[static_cast<std::size_t>(index)];
    View view = slot.view;
    view.data = (slot.place == Place::arena           ? arena_.data()
                 : slot.place == Place::network_input ? input_.data()
                                                      : output_.data()) +
                slot.offset;
    return view;
  }

  const Program& program_;
  cuda::Stream stream_;
  cuda::DeviceMemory arena_, workspace_, input_, output_, fault_;
  std::vector<std::vector<View>> views_;
};

std::string config_of(const Step& step) {
  for (const kernels::cuda::Kernel* kernel : kernels::cuda::all_kernels()) {
    const bool same = kernels::cuda::name_of(*kernel) == step.variant;
    if (same && kernel->describe != nullptr) return kernel->describe(step.config);
  }
  return "";
}

void measure(const std::string& name, int batch, bool steps) {
  models::LoadOptions load;
  load.precision = Precision::int8;
  const models::LoadedModel model = models::load_model(name, load);
  kernels::PlanOptions options;
  options.batch = batch;
  options.gpu = cuda::choose_device("cuda");
  if (!model.points) options.photo = model.preprocess.photo();
  const auto program = kernels::plan(model.points ? dense_part(model.network) : model.network, options);
  Steps all(*program);
  fmt::print("step,kernel,configuration,output,us,tops\n");
  for (std::size_t i = 0; steps && i < program->steps.size(); ++i) {
    constexpr int kLaunches = 20;
    const Step& step = program->steps[i];
    const double us = all.time([&] {
      for (int k = 0; k < kLaunches; ++k) all.launch(i);
    }) / kLaunches;
    const View& out = program->slots[static_cast<std::size_t>(step.output)].view;
    fmt::print("{},{},\"{}\",{}x{}x{}x{},{:.2f},{:.0f}\n", step.name, step.variant, config_of(step), out.n, out.h,
               out.w, out.c, us, 2e-6 * static_cast<double>(step.macs) * batch / us);
  }
  const auto from = static_cast<std::size_t>(model.points.has_value());  // quantising the reals that came from integers
  const double us = all.time([&] {
    for (std::size_t i = from; i < program->steps.size(); ++i) all.launch(i);
  });
  fmt::print("all of {} (batch {}),,,{} launches,{:.1f},\n", name, batch, program->steps.size() - from, us);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return fmt::print(stderr, "usage: bench_cuda_steps MODEL [BATCH] [--no-steps]\n"), 2;
  const bool steps = std::string_view(argv[argc - 1]) != "--no-steps";
  try {
    measure(argv[1], argc > 2 ? std::max(1, std::atoi(argv[2])) : 1, steps);
  } catch (const Error& e) {
    return fmt::print(stderr, "{}\n", e.what()), 1;
  }
}
