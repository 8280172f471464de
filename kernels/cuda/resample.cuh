// Moving pixels, as kernels/reference/resample.h defines it: upsampling and padding.
#pragma once

#include "kernels/cuda/element.cuh"

namespace octet::kernels::cuda {

template <class T>
struct Resample {
  View in, out;
  Window w;
  T fill;
  __device__ void operator()(int n, int y, int x, int c) const {
    const int from_y = (y - w.pad_top) / w.stride_h, from_x = (x - w.pad_left) / w.stride_w;
    const bool inside = y >= w.pad_top && x >= w.pad_left && from_y < in.h && from_x < in.w;
    *out.at<T>(n, y, x, c) = inside ? *in.at<T>(n, from_y, from_x, c) : fill;
  }
};

template <class T>
static int launch_resample(const StepArgs& args, const Launch& launch) {
  const auto& p = *static_cast<const PoolParams*>(args.params);
  const Resample<T> resample{args.inputs[0], args.output, p.window, static_cast<T>(p.zero_in)};
  return launch_elementwise(args.output, resample, launch);
}

}  // namespace octet::kernels::cuda
