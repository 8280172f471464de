// add_s8_direct: rule 11, and rule 10 when there is one input (a copy to another step and zero point).
#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {
namespace {

struct Add {
  View in[AddParams::kMaxInputs], out;
  AddParams p;
  int count;
  __device__ float term(int i, int n, int y, int x, int c) const {
    return static_cast<float>(load8(in[i], n, y, x, c) - p.zero_in[i]) * p.multiplier[i];
  }
  __device__ void operator()(int n, int y, int x, int c) const {
    float sum = term(0, n, y, x, c);
    for (int i = 1; i < count; ++i) sum = sum + term(i, n, y, x, c);  // one rounding after each +
    const float clamped =
        arithmetic::clamp(sum, static_cast<float>(p.lo - p.zero_out), static_cast<float>(p.hi - p.zero_out));
    store8(out, n, y, x, c, arithmetic::round_even(clamped) + p.zero_out);
  }
};

int launch(const StepArgs& args, const Launch& launch) {
  Add add{.out = args.output, .p = *static_cast<const AddParams*>(args.params), .count = args.input_count};
  for (int i = 0; i < args.input_count; ++i) add.in[i] = args.inputs[i];
  return launch_elementwise(args.output, add, launch);
}

}  // namespace

extern const Kernel add_s8_direct;
const Kernel add_s8_direct = {.op = "add_s8", .name = "direct", .refuse = accept, .launch = launch};

}  // namespace octet::kernels::cuda
