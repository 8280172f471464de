// What each kind of step needs besides its views: plain structs that a Program owns and StepArgs::params points to.
// Plain, so that kernels of every instruction set may include it.
#pragma once

#include <cstdint>

#include "runtime/view.h"
#include "runtime/window.h"

namespace octet {
enum class Function : std::uint8_t;  // runtime/function_of_one.h
}

namespace octet::kernels {

// From the int32 accumulator of output channel c to what is stored.
struct Epilogue {
  enum class Form : std::uint8_t {
    one_multiply,  // rule 7: q = requantise(acc, multiplier[c], lo, hi, zero)
    notebook,      // (acc * scale_out) / multiplier[c], multiplier[c] being s_in * s_w
    real,          // rule 13: float(acc) * multiplier[c] is stored as f32
  };
  Form form = Form::one_multiply;
  const std::int32_t* bias = nullptr;  // rule 4's B[c] = bias_q[c] - zero_in * sum(w[c]); one per output channel.
                                       // sparse_conv: bias_q[c] alone
  const float* multiplier = nullptr;   // one per output channel
  float scale_out = 0;                 // notebook only
  std::int32_t lo = -127, hi = 127;    // the layer's own limits after ReLU (rule 8)
  std::int32_t zero = 0;
  // No |acc * multiplier| reaches 2^31, so a kernel may convert to an integer first and clamp afterwards (rule 7).
  bool fits_int32 = false;
};

// A residual that is added to a convolution's own result before it is stored (rule 11): the step's second input, as
// large as its output and with the same strides. `own` is the multiplier of the convolution's integers, which are
// quantised first by its Epilogue.
struct Residual {
  bool any = false;
  float own = 0, other = 0;
  std::int32_t zero_other = 0, zero_out = 0, lo = -127, hi = 127;
};

// conv2d_s8, depthwise_s8, linear_s8, sparse_conv_s8 and their f32 twins. For linear, the window is 1x1 and the input
// view's (h, w, c) are the features in the order in which the weights were packed.
struct ConvParams {
  Window window;
  std::int32_t groups = 1;
  std::int32_t taps = 1;          // sparse_conv, in place of the window
  std::int32_t zero_in = 0;       // what lies outside of the input (rule 8: padding is the zero point)
  bool non_negative = false;      // no input value is below 0, so s8 bytes may be read as u8
  bool seven_bits = false;        // every input value lies in [0, 127]
  bool fused_max_pool = false;    // the output is the 2x2 max-pool, stride 2, of the convolution's
  const void* weights = nullptr;  // packed by the variant's own pack()
  Epilogue epilogue;              // s8
  Residual residual;              // s8; only for kernels with Kernel::fuses_add
  const float* bias = nullptr;    // f32; never null there
  float lo = 0, hi = 0;           // f32: the activation's clamp (infinite where there is none)
};

struct PoolParams {  // max and average pools, 8 bits and f32
  Window window;
  // Average only. Rule 9: multiplier[n - 1] belongs to windows of n elements. Null for f32.
  const float* multiplier = nullptr;
  std::int32_t multiplier_count = 0;
  bool count_include_pad = false;
  std::int32_t zero_in = 0, zero_out = 0, lo = -127, hi = 127;
};

// Rules 11 (add) and 10 (one input: copy with another step and zero point).
struct AddParams {
  static constexpr int kMaxInputs = 8;
  float multiplier[kMaxInputs] = {};
  std::int32_t zero_in[kMaxInputs] = {};
  std::int32_t zero_out = 0, lo = -127, hi = 127;
  float clamp_lo = 0, clamp_hi = 0;  // f32
};

// A sparse activation of `depth` levels of z becomes a dense map; cells without a site hold `fill`, the zero point.
struct ToDenseParams {
  std::int32_t depth = 1;
  std::int32_t fill = 0;
};

// f32 -> 8 bits (rule 2) and back.
struct QuantiseParams {
  float inverse = 1;  // 1 / step; notebook mode: 127 / amax
  float step = 1;
  std::int32_t lo = -127, hi = 127, zero = 0;
  bool dead = false;
  float divisor = 0;  // dequantise, notebook only: real = (q - zero) / divisor, the scale 127 / amax
};

// A photo's bytes through a table of 256 entries a channel: to 8 bits (rule 2 applied to (p - mean) / std), or to f32.
struct LookupParams {
  const void* table = nullptr;  // [channels][256] of the output's type
};

// f32: y = clamp(x * scale[c] + shift[c]); a batch-norm that could not be folded, or a lone ReLU (scale null).
struct AffineParams {
  const float* scale = nullptr;
  const float* shift = nullptr;
  float lo = 0, hi = 0;
};

// A function of one value: in float, computed (alpha and beta are its arguments); of 8 bits, looked up (rule 12: the
// output's byte for each byte of the input).
struct FunctionParams {
  Function function{};
  float alpha = 0, beta = 0;
  const std::uint8_t* table = nullptr;  // [256]
};

// f32: over the channels of a pixel.
struct SoftmaxParams {
  bool whole_image = false;  // over every element of an image (it was flattened); otherwise over each pixel's channels
};

// A user's own operation: computes row y of image n of the output.
struct CustomParams {
  const void* operation = nullptr;
  void (*row)(const void* operation, const StepArgs& args, std::int64_t n, std::int64_t y) = nullptr;
};

// Fills the border around an activation. `halo_*` rows and columns lie outside of the output view.
struct HaloParams {
  std::int32_t top = 0, left = 0, bottom = 0, right = 0;
  std::int32_t fill = 0;  // the byte value for 8-bit storage; f32 is filled with 0
};

}  // namespace octet::kernels
