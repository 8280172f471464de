// Numbers as types, for tables of kernels and for calls that choose a template's parameters.
#pragma once

namespace octet::kernels {

template <int N>
struct Number {
  static constexpr int value = N;
};

template <int... N>
struct Numbers {};

// UpTo<3>::type is Numbers<1, 2, 3>.
template <int N, int... Rest>
struct UpTo : UpTo<N - 1, N, Rest...> {};
template <int... All>
struct UpTo<0, All...> {
  using type = Numbers<All...>;
};

}  // namespace octet::kernels
