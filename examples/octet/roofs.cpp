#include "examples/octet/roofs.h"

#include <fmt/format.h>
#include <algorithm>

#include "examples/common/terminal.h"
#include "kernels/registry.h"

namespace octet::cli {
namespace {

std::int64_t bytes_of(const View& v) {
  return std::int64_t{v.n} * v.h * v.w * v.c * static_cast<std::int64_t>(size_of(v.type));
}

// The kernel's own instruction set where it multiplies; plain C++ is held against the best that the program may use.
const kernels::MultiplyPeak* peak_of(const Program& program, const Step& step, const kernels::Limits& limits) {
  const DType type = step.precision == Precision::int8 ? DType::s8 : DType::f32;
  const auto kernels = kernels::all_kernels();
  const auto found = std::ranges::find_if(kernels, [&](const auto* k) { return kernels::name_of(*k) == step.variant; });
  const auto* own = found == kernels.end() ? nullptr : limits.multiply_peak(kernels::isa_of(**found), type);
  return own != nullptr ? own : limits.multiply_peak(kernels::isa_named(program.isa), type);
}

}  // namespace

json limits_json(const kernels::Limits& limits) {
  json multiply = json::array(), read = json::array();
  for (const kernels::MultiplyPeak& p : limits.multiply) {
    multiply.push_back({{"isa", kernels::name_of(p.isa)},
                        {"type", name_of(p.type)},
                        {"instruction", p.instruction},
                        {"gops", p.ops_per_second / 1e9}});
  }
  for (const kernels::ReadPeak& p : limits.read) {
    read.push_back({{"level", p.level},
                    {"capacity", p.capacity},
                    {"buffer", p.buffer},
                    {"gb_per_second", p.bytes_per_second / 1e9}});
  }
  return {{"multiply", multiply}, {"read", read}};
}

void print_limits(const json& limits) {
  examples::Table peaks({"one core multiplies", "type", "instruction", "GOP/s"});
  for (const json& p : limits["multiply"])
    peaks.add({p["isa"], p["type"], p["instruction"], fmt::format("{:.0f}", p["gops"].get<double>())});
  examples::Table reads({"one core reads from", "capacity", "buffer", "GB/s"});
  for (const json& r : limits["read"]) {
    reads.add({r["level"], examples::human_bytes(r["capacity"]), examples::human_bytes(r["buffer"]),
               fmt::format("{:.1f}", r["gb_per_second"].get<double>())});
  }
  fmt::print("\n{}\n{}", peaks.str(), reads.str());
}

Roof roof_of(const Program& program, const Step& step, const kernels::Limits& limits, int threads) {
  Roof roof;
  roof.ops = 2 * step.macs * program.batch;
  for (const int input : step.inputs) roof.bytes += bytes_of(program.slots[static_cast<std::size_t>(input)].view);
  if (step.output >= 0) roof.bytes += bytes_of(program.slots[static_cast<std::size_t>(step.output)].view);
  roof.bytes += static_cast<std::int64_t>(step.packed_bytes);
  if (program.device != "cpu") return roof;  // the limits that are measured are the processor's

  const kernels::ReadPeak& read = limits.read_peak(roof.bytes);
  roof.limit = read.level;
  roof.milliseconds = 1e3 * static_cast<double>(roof.bytes) / (read.bytes_per_second * threads);
  const auto* peak = peak_of(program, step, limits);
  if (peak == nullptr) return roof;
  roof.peak = peak->ops_per_second * threads;
  const double compute = 1e3 * static_cast<double>(roof.ops) / roof.peak;
  if (compute > roof.milliseconds) roof.limit = "compute", roof.milliseconds = compute;
  return roof;
}

}  // namespace octet::cli
