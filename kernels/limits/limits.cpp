// Timing the peak loops. A peak is the fastest round: whatever disturbs a round makes it slower, never faster.
#include "kernels/limits/limits.h"

#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <limits>

#include "kernels/limits/peaks.h"
#include "runtime/tensor.h"

namespace octet::kernels {
namespace limits {

#define OCTET_PEAKS(isa) extern const Peaks peaks_##isa;
#include "kernels/limits/limits.def"
#undef OCTET_PEAKS

}  // namespace limits

namespace {

using Clock = std::chrono::steady_clock;

const limits::Peaks* const kPeaks[] = {
#define OCTET_PEAKS(isa) &limits::peaks_##isa,
#include "kernels/limits/limits.def"
#undef OCTET_PEAKS
};

constexpr int kRounds = 5;
constexpr double kRoundSeconds = 0.01;

double seconds_of(const auto& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The shortest time of one unit. `work(n)` does n units; rounds grow until they are long enough to be timed, which also
// wakes the processor up.
double fastest(const auto& work) {
  std::int64_t units = 1;
  while (seconds_of([&] { work(units); }) < kRoundSeconds) units *= 2;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRounds; ++i)
    best = std::min(best, seconds_of([&] { work(units); }) / static_cast<double>(units));
  return best;
}

void add_multiply(Limits& result, const limits::Peaks& peaks, const limits::MultiplyLoop& loop, DType type) {
  if (loop.run == nullptr) return;
  const double seconds = fastest([&](std::int64_t n) { loop.run(n); });
  result.multiply.push_back({isa_named(peaks.isa), type, loop.instruction, loop.ops / seconds});
}

// As the system tells; where it does not (some containers, ARM), sizes that most processors have at least.
std::int64_t cache_bytes(int name, std::int64_t otherwise) {
  const long told = sysconf(name);
  return told > 0 ? told : otherwise;
}

void add_reads(Limits& result, void (*read)(const void*, std::size_t)) {
  const std::int64_t l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
  const std::int64_t l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
  const std::int64_t l3 = std::max(l2, cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20));
  const std::int64_t ram = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  // Half a cache, so that nothing else pushes it out. A virtual machine's L3 is shared with others who are not seen
  // here: a sixteenth of it, but well beyond L2. Memory: twice L3, as far as an eighth of the machine's memory allows.
  const std::int64_t from_l3 = std::max(2 * l2, std::min(l3 / 16, std::int64_t{32} << 20));
  const std::int64_t from_memory = std::max(2 * from_l3, std::min(2 * l3, ram / 8));
  Tensor buffer(DType::u8, Shape{from_memory});
  const auto add = [&](const char* level, std::int64_t capacity, std::int64_t bytes) {
    bytes = bytes / 1024 * 1024;
    const auto pass = [&](std::int64_t n) {
      for (; n > 0; --n) read(buffer.raw(), static_cast<std::size_t>(bytes));
    };
    result.read.push_back({level, capacity, bytes, static_cast<double>(bytes) / fastest(pass)});
  };
  add("L1", l1, l1 / 2);
  add("L2", l2, l2 / 2);
  add("L3", l3, from_l3);
  add("memory", ram, from_memory);
}

}  // namespace

const MultiplyPeak* Limits::multiply_peak(Isa level, DType type) const {
  const MultiplyPeak* best = nullptr;
  for (const MultiplyPeak& peak : multiply) {
    if (peak.type == type && includes(level, peak.isa)) best = &peak;
  }
  return best;
}

const ReadPeak& Limits::read_peak(std::int64_t bytes) const {
  for (const ReadPeak& peak : read) {
    if (bytes <= peak.capacity) return peak;
  }
  return read.back();
}

Limits measure_limits() {
  Limits result;
  void (*read)(const void*, std::size_t) = nullptr;
  for (const limits::Peaks* peaks : kPeaks) {
    if (!supported(isa_named(peaks->isa))) continue;
    add_multiply(result, *peaks, peaks->f32, DType::f32);
    add_multiply(result, *peaks, peaks->s8, DType::s8);
    if (peaks->read != nullptr) read = peaks->read;
  }
  add_reads(result, read);
  return result;
}

}  // namespace octet::kernels
