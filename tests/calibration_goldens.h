// The field's own calibrators on seven activation sources, four batches each (../shared/goldens, not in the repository:
// tests that use it say SKIPPED when it is absent), and literal transcriptions of the rules.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "runtime/io/file.h"
#include "runtime/io/safetensors.h"
#include "runtime/view.h"

namespace octet::test {

// One row of channels, as an observer takes it.
inline View view_of(std::vector<float>& values) {
  View v;
  v.data = reinterpret_cast<std::byte*>(values.data());
  v.n = 1, v.c = static_cast<std::int32_t>(values.size());
  v.stride_w = v.stride_h = v.stride_n = v.c;
  return v;
}

struct CalibrationGoldens {
  nlohmann::json expected;
  StateDict tensors;

  std::span<const float> batch(const std::string& source, int index) const {
    return tensors.at(source + "." + std::to_string(index)).span<float>();
  }
};

inline std::filesystem::path goldens_folder() {
  return std::filesystem::path(OCTET_SOURCE_DIR) / ".." / "shared" / "goldens";
}

// Empty, with a visible message, when the goldens are absent.
inline std::optional<CalibrationGoldens> calibration_goldens() {
  const auto folder = goldens_folder();
  if (!std::filesystem::exists(folder / "calibration.json")) {
    MESSAGE("SKIPPED: no goldens in ../shared/goldens");
    return std::nullopt;
  }
  return CalibrationGoldens{nlohmann::json::parse(read_text_file(folder / "calibration.json", 64 << 20)),
                            read_safetensors(folder / "calibration.safetensors").tensors};
}

// The entropy rule as the field writes it: every candidate from scratch, bin by bin.
inline int literal_entropy_edge(std::vector<double> bins, int num_bits, bool is_unsigned, int stride, int start_bin) {
  bins[0] = bins[1];
  const int levels = 1 << (num_bits - 1 + (is_unsigned ? 1 : 0));
  double best = std::numeric_limits<double>::infinity();
  int chosen = -1;
  for (int i = start_bin; i <= static_cast<int>(bins.size()); i += stride) {
    const auto size = static_cast<std::size_t>(i);
    std::vector<double> p(bins.begin(), bins.begin() + i), sum(static_cast<std::size_t>(levels)), occupied(sum.size()),
        q(size);
    for (std::size_t j = size; j < bins.size(); ++j) p.back() += bins[j];
    std::vector<std::size_t> level(size);
    for (std::size_t j = 0, l = 0; j < size; ++j) {
      // Level l is [l * i / levels, (l + 1) * i / levels); levels is a power of two, so these edges are exact.
      while (l + 1 < sum.size() && static_cast<double>(l + 1) * i / levels <= static_cast<double>(j)) ++l;
      level[j] = l;
      sum[l] += bins[j];
      occupied[l] += bins[j] != 0;
    }
    double p_total = 0, q_total = 0, divergence = 0;
    for (std::size_t j = 0; j < size; ++j) {
      if (bins[j] != 0) q[j] = sum[level[j]] / occupied[level[j]];
      p_total += p[j], q_total += q[j];
    }
    for (std::size_t j = 0; j < size; ++j) {
      if (p[j] == 0) continue;
      if (q[j] == 0) {
        divergence = std::numeric_limits<double>::infinity();
        break;
      }
      divergence += p[j] / p_total * std::log((p[j] / p_total) / (q[j] / q_total));
    }
    if (divergence <= best) best = divergence, chosen = i;
  }
  return chosen;
}

}  // namespace octet::test
