// add_s8 for vector instruction sets: rules 10 and 11. (q - zero) * M is exact, so one fused multiply-add rounds just
// where the rule does. Rows whose pixels follow each other are one run of bytes; a run's last bytes go through a block
// on the stack, since sums may overwrite one of their operands and nothing may be computed twice.
#pragma once

#include <cstring>

#include "kernels/cpu/to_bytes.h"
#include "kernels/cpu/window.h"

namespace octet::kernels::add {

struct Term {
  const std::byte* from = nullptr;
  bool is_unsigned = false;
  std::int32_t zero = 0;
  float multiplier = 0;
};

// Where the sums start: the first term is q * M - zero * M, all of it exact. Later ones are (q - zero) * M.
enum class Place { first, later, later_without_zero };

template <class L, class T, Place kPlace>
__attribute__((always_inline)) static inline void accumulate(const Term& term, std::int64_t at,
                                                             typename L::Float (&sums)[4]) {
  const T* from = reinterpret_cast<const T*>(term.from) + at;
  const auto m = L::set(term.multiplier);
  const auto start = L::set(-static_cast<float>(term.zero) * term.multiplier);
  const auto zero = L::set(term.zero);
  for (int i = 0; i < 4; ++i) {
    auto q = L::widen(from + i * L::kFloats);
    if (kPlace == Place::later) q = L::sub(q, zero);
    sums[i] = L::fma(L::to_float(q), m, kPlace == Place::first ? start : sums[i]);
  }
}

template <class L, Place kPlace>
__attribute__((always_inline)) static inline void accumulate_either(const Term& term, std::int64_t at,
                                                                    typename L::Float (&sums)[4]) {
  if (term.is_unsigned) {
    accumulate<L, std::uint8_t, kPlace>(term, at, sums);
  } else {
    accumulate<L, std::int8_t, kPlace>(term, at, sums);
  }
}

template <class L, class T>
static void add_run(const Term* terms, std::int32_t count, const ToBytes<L, T>& to_bytes, std::byte* out,
                    std::int64_t length) {
  for (std::int64_t at = 0; at < length; at += L::kBytes) {
    const auto nothing = L::set(0.0f);
    typename L::Float sums[4] = {nothing, nothing, nothing, nothing};
    accumulate_either<L, Place::first>(terms[0], at, sums);
    for (std::int32_t i = 1; i < count; ++i) {
      if (terms[i].zero == 0) {
        accumulate_either<L, Place::later_without_zero>(terms[i], at, sums);
      } else {
        accumulate_either<L, Place::later>(terms[i], at, sums);
      }
    }
    L::store_bytes(out + at, to_bytes(sums));
  }
}

template <class L, class T>
static void add_tail(const Term* terms, std::int32_t count, const ToBytes<L, T>& to_bytes, std::byte* out,
                     std::int64_t at, std::int64_t length) {
  std::byte blocks[AddParams::kMaxInputs][L::kBytes] = {}, sum[L::kBytes];
  Term copies[AddParams::kMaxInputs];
  for (std::int32_t i = 0; i < count; ++i) {
    std::memcpy(blocks[i], terms[i].from + at, static_cast<std::size_t>(length));
    copies[i] = terms[i];
    copies[i].from = blocks[i];
  }
  add_run<L, T>(copies, count, to_bytes, sum, L::kBytes);
  std::memcpy(out + at, sum, static_cast<std::size_t>(length));
}

template <class L, class T>
static void run_as(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& out = args.output;
  const auto& p = *static_cast<const AddParams*>(args.params);
  const auto to_bytes = ToBytes<L, T>::of(p.lo, p.hi, p.zero_out);
  Term terms[AddParams::kMaxInputs];
  bool dense = out.stride_w == out.c;
  for (std::int32_t i = 0; i < args.input_count; ++i) {
    dense = dense && args.inputs[i].stride_w == out.c;
    terms[i] = {nullptr, args.inputs[i].type == DType::u8, p.zero_in[i], p.multiplier[i]};
  }
  const std::int64_t runs = dense ? 1 : out.w, length = dense ? std::int64_t{out.w} * out.c : out.c;
  const std::int64_t whole = length / L::kBytes * L::kBytes;
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t x = 0; x < runs; ++x) {
      const std::int64_t n = row / out.h, y = row % out.h;
      for (std::int32_t i = 0; i < args.input_count; ++i) terms[i].from = args.inputs[i].at<std::byte>(n, y, x);
      auto* target = out.at<std::byte>(n, y, x);
      add_run<L, T>(terms, args.input_count, to_bytes, target, whole);
      if (whole < length) add_tail<L, T>(terms, args.input_count, to_bytes, target, whole, length - whole);
    }
  }
}

template <class L>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  const bool is_unsigned = args.output.type == DType::u8;
  (is_unsigned ? run_as<L, std::uint8_t> : run_as<L, std::int8_t>)(args, first, last);
}

}  // namespace octet::kernels::add
