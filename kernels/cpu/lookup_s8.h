// lookup_s8 for vector instruction sets: a photo's bytes, channels interleaved, through one table for all channels or
// one a channel. With three tables nothing needs to be sorted: of three vectors in a row, the bytes of one channel lie
// at different places in each,
//
//     vector 0   r g b r g b r g ...        red:  r - - r - - r -   of vector 0
//     vector 1   b r g b r g b r ...              - r - - r - - r   of vector 1
//     vector 2   g b r g b r g b ...              - - r - - r - -   of vector 2
//
// so two blends collect a channel into one full vector, and after the look-up two blends put it back.
//
// An instruction set supplies Traits: Vector, kBytes, Table, load_table, look_up, blend (takes b where byte % 3 == R).
#pragma once

#include <cstring>

#include "kernels/cpu/window.h"

namespace octet::kernels::lookup {

constexpr int kChannels = 3;

static inline const std::uint8_t* bytes_of(const StepArgs& args) {
  return static_cast<const std::uint8_t*>(static_cast<const LookupParams*>(args.params)->table);
}

static inline bool one_table(const StepArgs& args) {
  for (int c = 1; c < args.output.c; ++c) {
    if (std::memcmp(bytes_of(args), bytes_of(args) + 256 * c, 256) != 0) return false;
  }
  return true;
}

// Where in vector k the bytes of channel c lie, by byte % 3.
template <class Traits>
constexpr int place_of(int c, int k) {
  return ((c - k * Traits::kBytes) % 3 + 3) % 3;
}

template <class Traits>
struct One {
  static constexpr int kStep = Traits::kBytes;
  typename Traits::Table table;

  void load(const std::uint8_t* bytes) { Traits::load_table(bytes, table); }
  void operator()(const std::uint8_t* from, std::uint8_t* to) const {
    Traits::store(to, Traits::look_up(table, Traits::load(from)));
  }
};

template <class Traits>
struct Three {
  static constexpr int kBytes = Traits::kBytes, kStep = 3 * kBytes;
  using Vector = typename Traits::Vector;
  typename Traits::Table tables[kChannels];

  void load(const std::uint8_t* bytes) {
    for (int c = 0; c < kChannels; ++c) Traits::load_table(bytes + 256 * c, tables[c]);
  }
  template <int C>
  __attribute__((always_inline)) Vector channel(const Vector (&v)[3]) const {
    const Vector two = Traits::template blend<place_of<Traits>(C, 1)>(v[0], v[1]);
    return Traits::look_up(tables[C], Traits::template blend<place_of<Traits>(C, 2)>(two, v[2]));
  }
  template <int K>
  __attribute__((always_inline)) void put_back(Vector red, Vector green, Vector blue, std::uint8_t* to) const {
    const Vector two = Traits::template blend<place_of<Traits>(1, K)>(red, green);
    Traits::store(to + K * kBytes, Traits::template blend<place_of<Traits>(2, K)>(two, blue));
  }
  void operator()(const std::uint8_t* from, std::uint8_t* to) const {
    const Vector v[3] = {Traits::load(from), Traits::load(from + kBytes), Traits::load(from + 2 * kBytes)};
    const Vector red = channel<0>(v), green = channel<1>(v), blue = channel<2>(v);
    put_back<0>(red, green, blue, to);
    put_back<1>(red, green, blue, to);
    put_back<2>(red, green, blue, to);
  }
};

// The photo is the caller's memory, of which nothing may be read beyond its end: the last step is moved back to end
// with the run (a step is whole pixels, so the channels stay in place); runs shorter than a step go through the stack.
template <class Look>
static void run_of(const Look& look, const std::uint8_t* from, std::uint8_t* to, std::int64_t count) {
  if (count < Look::kStep) {
    std::uint8_t block[Look::kStep] = {}, found[Look::kStep];
    std::memcpy(block, from, static_cast<std::size_t>(count));
    look(block, found);
    std::memcpy(to, found, static_cast<std::size_t>(count));
    return;
  }
  for (std::int64_t i = 0; i < count; i += Look::kStep) {
    const std::int64_t at = i + Look::kStep <= count ? i : count - Look::kStep;
    look(from + at, to + at);
  }
}

template <class Look>
static void run_rows(const StepArgs& args, std::int64_t first, std::int64_t last) {
  const View& in = args.inputs[0];
  const View& out = args.output;
  Look look;
  look.load(bytes_of(args));
  const bool dense = in.stride_w == out.c && out.stride_w == out.c;
  const std::int64_t count = dense ? std::int64_t{out.w} * out.c : out.c, runs = dense ? 1 : out.w;
  for (std::int64_t row = first; row < last; ++row) {
    for (std::int64_t x = 0; x < runs; ++x) {
      run_of(look, in.at<std::uint8_t>(row / out.h, row % out.h, x), out.at<std::uint8_t>(row / out.h, row % out.h, x),
             count);
    }
  }
}

template <class Traits>
static void run(const StepArgs& args, std::int64_t first, std::int64_t last, void*) {
  (one_table(args) ? run_rows<One<Traits>> : run_rows<Three<Traits>>)(args, first, last);
}

[[maybe_unused]] static const char* refuse(const StepArgs& args) {
  return args.output.c == kChannels || one_table(args) ? nullptr : "different tables for other than three channels";
}

}  // namespace octet::kernels::lookup
