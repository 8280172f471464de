#include "kernels/voxelise.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/error.h"
#include "runtime/float_environment.h"

namespace octet::kernels {
namespace {

constexpr std::int64_t kPointsOfTile = 4096;
constexpr std::int64_t kVoxelsOfTile = 1024;

constexpr std::int64_t kEntriesOfPart = 32768;

// Entries by their keys, stable: least significant digit first, as many passes as the keys have digits. The entries are
// cut into parts, which count and move their own; the places of a part's entries begin where those of the parts before
// it end. So the result does not depend on who does which part. Negative keys are left out by the first pass.
template <class Entry>
class RadixSort {
 public:
  RadixSort(std::vector<Entry>& entries, std::vector<Entry>& other) : from_(entries), to_(other) {}

  void run(std::int64_t largest, ThreadPool& pool) {
    for (shift_ = 0; shift_ == 0 || (shift_ < 64 && largest >> shift_ != 0); shift_ += kBits) {
      const auto parts = static_cast<std::size_t>((size() + kEntriesOfPart - 1) / kEntriesOfPart);
      places_.assign(parts, {});
      pool.run(static_cast<std::int64_t>(parts), count, this);
      to_.resize(start_places());
      pool.run(static_cast<std::int64_t>(parts), move, this);
      from_.swap(to_);
    }
  }

 private:
  static constexpr int kBits = 9;  // 512 places to write to at a time fit into the first-level cache
  static constexpr std::size_t kBuckets = std::size_t{1} << kBits;

  std::int64_t size() const { return static_cast<std::int64_t>(from_.size()); }
  std::size_t digit(const Entry& e) const { return static_cast<std::size_t>(e.key >> shift_) & (kBuckets - 1); }

  template <class Act>
  void for_each(std::int64_t part, Act act) {
    const std::int64_t end = std::min(size(), (part + 1) * kEntriesOfPart);
    for (std::int64_t i = part * kEntriesOfPart; i < end; ++i) {
      const Entry& e = from_[static_cast<std::size_t>(i)];
      if (e.key >= 0) act(e);
    }
  }
  static void count(void* context, std::int64_t first, std::int64_t last, int) {
    RadixSort& self = *static_cast<RadixSort*>(context);
    for (std::int64_t part = first; part < last; ++part) {
      auto& places = self.places_[static_cast<std::size_t>(part)];
      self.for_each(part, [&](const Entry& e) { ++places[self.digit(e)]; });
    }
  }
  // Counts become places; returns how many entries there are.
  std::size_t start_places() {
    std::size_t sum = 0;
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
      for (auto& places : places_) sum += std::exchange(places[bucket], sum);
    }
    return sum;
  }
  static void move(void* context, std::int64_t first, std::int64_t last, int) {
    RadixSort& self = *static_cast<RadixSort*>(context);
    for (std::int64_t part = first; part < last; ++part) {
      auto& places = self.places_[static_cast<std::size_t>(part)];
      self.for_each(part, [&](const Entry& e) { self.to_[places[self.digit(e)]++] = e; });
    }
  }

  std::vector<Entry>&from_, &to_;
  int shift_ = 0;
  std::vector<std::array<std::size_t, kBuckets>> places_;  // of each part
};

}  // namespace

// Points to cells. Skipped points have the key -1.
class Voxeliser::Finder {
 public:
  Finder(const VoxelOptions& o, std::span<const float> cloud, int features, std::int32_t index, Entry* entries)
      : o_(o), cloud_(cloud), features_(features), index_(index), entries_(entries) {}

  static void run(void* context, std::int64_t first, std::int64_t last, int) {
    Finder& self = *static_cast<Finder*>(context);
    const std::int64_t points = static_cast<std::int64_t>(self.cloud_.size()) / self.features_;
    self.find(first * kPointsOfTile, std::min(last * kPointsOfTile, points));
  }
  std::atomic<std::int64_t> not_finite{0}, out_of_range{0};

 private:
  void find(std::int64_t first, std::int64_t last) {
    std::int64_t broken = 0, outside = 0;
    for (std::int64_t i = first; i < last; ++i) {
      const float* p = cloud_.data() + i * features_;
      float poison = 0;  // 0, or NaN from the first NaN or infinity on
      for (int f = 0; f < features_; ++f) poison += p[f] * 0.0f;
      const auto along = [&](std::size_t a) { return (static_cast<double>(p[a]) - o_.low[a]) / o_.size[a]; };
      const double x = along(0), y = along(1), z = along(2);
      const bool finite = poison == 0.0f;
      // (not negative: cutting the fraction off is floor; the limits are compared before anything could overflow)
      const bool inside = x > 0 && y > 0 && z > 0 && x < static_cast<double>(o_.filled.x) &&
                          y < static_cast<double>(o_.filled.y) && z < static_cast<double>(o_.filled.z);
      broken += !finite, outside += finite && !inside;
      entries_[i] = {-1, index_, static_cast<std::int32_t>(i)};
      if (!finite || !inside) continue;
      entries_[i].key =
          o_.grid.key(index_, static_cast<std::int64_t>(z), static_cast<std::int64_t>(y), static_cast<std::int64_t>(x));
    }
    not_finite += broken, out_of_range += outside;
  }

  const VoxelOptions& o_;
  std::span<const float> cloud_;
  std::int64_t features_;
  std::int32_t index_;
  Entry* entries_;
};

// Voxels to means.
class Voxeliser::Averager {
 public:
  Averager(Voxeliser& v, std::span<const std::span<const float>> clouds, int features, SparseTensor& out)
      : v_(v), clouds_(clouds), features_(features), out_(out) {}

  static void run(void* context, std::int64_t first, std::int64_t last, int) {
    const FloatEnvironment environment;
    Averager& self = *static_cast<Averager*>(context);
    for (std::int64_t i = first * kVoxelsOfTile; i < std::min(last * kVoxelsOfTile, self.out_.rows()); ++i) {
      self.fetch_ahead(i);
      self.mean(i);
    }
  }

 private:
  // Points of one voxel lie anywhere in the cloud: they are asked for some voxels ahead.
  void fetch_ahead(std::int64_t voxel) const {
    constexpr std::int64_t kAhead = 32;
    const std::size_t end = v_.entries_.size(),
                      first = static_cast<std::size_t>(v_.first_[static_cast<std::size_t>(voxel)]);
    const auto last = static_cast<std::size_t>(v_.first_[static_cast<std::size_t>(voxel) + 1]);
    for (std::size_t i = first + kAhead; i < std::min(last + kAhead, end); ++i)
      __builtin_prefetch(point(v_.entries_[i]));
  }
  const float* point(const Entry& e) const {
    return clouds_[static_cast<std::size_t>(e.cloud)].data() + std::int64_t{e.point} * features_;
  }
  bool before(const Entry& a, const Entry& b) const {
    const float *pa = point(a), *pb = point(b);
    for (int f = 0; f < features_; ++f) {
      const auto ba = std::bit_cast<std::uint32_t>(pa[f]), bb = std::bit_cast<std::uint32_t>(pb[f]);
      if (ba != bb) return ba < bb;
    }
    return false;
  }
  void mean(std::int64_t voxel) {
    const auto at = static_cast<std::size_t>(voxel);
    Entry* const first = v_.entries_.data() + v_.first_[at];
    Entry* const last = v_.entries_.data() + v_.first_[at + 1];
    out_.keys[at] = first->key;
    const std::int64_t kept = std::min<std::int64_t>(last - first, v_.options_.max_points);
    if (last - first > 1) {
      std::sort(first, last, [this](const Entry& a, const Entry& b) { return before(a, b); });
    }
    float* to = out_.features.span<float>().data() + voxel * features_;
    std::memcpy(to, point(*first), static_cast<std::size_t>(features_) * sizeof(float));
    for (const Entry* e = first + 1; e < first + kept; ++e) {
      for (int f = 0; f < features_; ++f) to[f] += point(*e)[f];
    }
    for (int f = 0; f < features_; ++f) to[f] /= static_cast<float>(kept);
  }

  Voxeliser& v_;
  std::span<const std::span<const float>> clouds_;
  int features_;
  SparseTensor& out_;
};

Voxeliser::Voxeliser(const VoxelOptions& options) : options_(options) { octet::check(options_); }

VoxelCounts Voxeliser::run(std::span<const std::span<const float>> clouds, int features, ThreadPool& pool,
                           SparseTensor& out) {
  const FloatEnvironment environment;
  require(features >= 3 && features <= 65536, "points of {} features: at least x, y, z were expected", features);
  require(!clouds.empty(), "no cloud to voxelise");
  octet::check("voxels", options_.grid, static_cast<std::int64_t>(clouds.size()));
  VoxelCounts counts;
  for (const std::span<const float> cloud : clouds) {
    require(cloud.size() % static_cast<std::size_t>(features) == 0,
            "a cloud of {} numbers is not made of points of {} features", cloud.size(), features);
    counts.points += static_cast<std::int64_t>(cloud.size()) / features;
  }
  require(counts.points < std::numeric_limits<std::int32_t>::max(), "{} points: fewer than 2^31 were expected",
          counts.points);

  entries_.resize(static_cast<std::size_t>(counts.points));
  Entry* next = entries_.data();
  for (std::size_t b = 0; b < clouds.size(); ++b) {
    const std::int64_t points = static_cast<std::int64_t>(clouds[b].size()) / features;
    Finder finder(options_, clouds[b], features, static_cast<std::int32_t>(b), next);
    pool.run((points + kPointsOfTile - 1) / kPointsOfTile, Finder::run, &finder);
    counts.not_finite += finder.not_finite, counts.out_of_range += finder.out_of_range;
    next += points;
  }
  RadixSort(entries_, other_).run(options_.grid.cells() * static_cast<std::int64_t>(clouds.size()) - 1, pool);

  // Without a branch: whether the next point is of the same voxel is a toss-up.
  first_.resize(entries_.size() + 1);
  std::int64_t voxels = 0, previous = -1;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    first_[static_cast<std::size_t>(voxels)] = static_cast<std::int64_t>(i);
    voxels += entries_[i].key != previous, previous = entries_[i].key;
  }
  first_[static_cast<std::size_t>(voxels)] = static_cast<std::int64_t>(entries_.size());
  if (options_.max_voxels > 0 && voxels > options_.max_voxels) {
    counts.dropped_voxels = voxels - options_.max_voxels;
    voxels = options_.max_voxels;
  }
  for (std::int64_t i = 0; i < voxels; ++i) {
    const auto at = static_cast<std::size_t>(i);
    counts.beyond_max += std::max<std::int64_t>(0, first_[at + 1] - first_[at] - options_.max_points);
  }
  counts.voxels = voxels;
  out.grid = options_.grid, out.batch = static_cast<int>(clouds.size());
  out.keys.resize(static_cast<std::size_t>(voxels));
  out.features = Tensor(DType::f32, Shape{voxels, features});
  Averager averager(*this, clouds, features, out);
  pool.run((voxels + kVoxelsOfTile - 1) / kVoxelsOfTile, Averager::run, &averager);
  return counts;
}

}  // namespace octet::kernels
