#include "runtime/rulebook.h"

#include <algorithm>

namespace octet {
namespace {

using Axis = std::array<std::int64_t, 3>;

Axis sizes(const SparseGrid& grid) { return {grid.z, grid.y, grid.x}; }

// The output coordinates along one axis that an input coordinate contributes to: through tap k, (i + padding - k *
// dilation) / stride where that leaves no remainder. One division for all taps: quotient and remainder of k * dilation
// are found once.
class ReachedAlong {
 public:
  ReachedAlong(std::int64_t outputs, const SparseWindow& w, std::size_t axis)
      : outputs_(outputs), stride_(w.stride[axis]), padding_(w.padding[axis]), taps_(w.kernel[axis]) {
    for (int k = 0; k < taps_; ++k) {
      const std::int64_t back = std::int64_t{k} * w.dilation[axis];
      quotient_[k] = back / stride_, remainder_[k] = back % stride_;
    }
  }
  // Ascending; returns how many.
  int find(std::int64_t i, std::int64_t (&at)[255]) const {
    const std::int64_t scaled = i + padding_, quotient = scaled / stride_, remainder = scaled % stride_;
    int count = 0;
    for (int k = taps_ - 1; k >= 0; --k) {
      const std::int64_t output = quotient - quotient_[k];
      at[count] = output;
      count += remainder == remainder_[k] && output >= 0 && output < outputs_;
    }
    return count;
  }

 private:
  std::int64_t outputs_, stride_, padding_;
  int taps_;
  std::int64_t quotient_[255], remainder_[255];
};

template <class Add>
void for_each_output(std::span<const std::int64_t> keys, const SparseGrid& from, const SparseGrid& to,
                     const SparseWindow& window, Add add) {
  const ReachedAlong along_z(to.z, window, 0), along_y(to.y, window, 1), along_x(to.x, window, 2);
  std::int64_t zs[255], ys[255], xs[255];
  for (std::size_t i = 0; i < keys.size();) {
    // All sites of one row of x share their reached z and y.
    const Cell cell = cell_of(from, keys[i]);
    const int z_count = along_z.find(cell.z, zs), y_count = along_y.find(cell.y, ys);
    const std::int64_t row = keys[i] - cell.x;
    for (; i < keys.size() && keys[i] < row + from.x; ++i) {
      const int x_count = along_x.find(keys[i] - row, xs);
      for (int z = 0; z < z_count; ++z) {
        for (int y = 0; y < y_count; ++y) {
          const std::int64_t base = to.key(cell.batch, zs[z], ys[y], 0);
          for (int x = 0; x < x_count; ++x) add(base + xs[x]);
        }
      }
    }
  }
}

struct Job {
  const SiteIndex& in;
  SparseGrid from;
  std::span<const std::int64_t> out;
  SparseGrid to;
  const SparseWindow& window;
  Rulebook& rulebook;
  const std::function<void()>* beside;
};

constexpr std::int64_t kRowsOfTile = 512;

using Counts = std::int32_t (*)(std::uint64_t);  // of the bits of a word

// A row of x of the input that output rows on one row of x read through one row of the kernel.
struct Line {
  std::int64_t key;   // of its x = 0
  std::int32_t* map;  // in the block, of the first of the kernel row's taps
};

// The map of a few output rows, [taps][rows], made in the first-level cache and copied from there: rows are found one
// by one, and a store for each tap of each would go to as many places in memory as there are taps.
struct Block {
  static constexpr std::int64_t kMostTaps = 4096, kMostRows = 128, kSize = 2 * kMostTaps;

  explicit Block(std::int64_t taps) : rows(std::min(kMostRows, kSize / taps)) {}
  std::int64_t rows;
  Line lines[kMostTaps];  // that the rows at hand read from
  int line_count = 0;
  std::int32_t map[kSize];
};

// What one output row reads from a line, tap by tap; x: where its first tap lies.
void look_up_taps(const Job& job, const Block& block, const Line& line, std::int64_t x, std::int64_t row) {
  std::int32_t* to = line.map + row;
  for (int kx = 0; kx < job.window.kernel[2]; ++kx, x += job.window.dilation[2], to += block.rows) {
    const bool inside = x >= 0 && x < job.from.x;
    *to = inside ? job.in.row(line.key + x) : -1;
  }
}

// The same of K adjacent taps: where they lie in one word of the bitmap, as nearly always, they are counted through
// together.
template <int K, Counts count>
void look_up_adjacent(const Job& job, const Block& block, const Line& line, std::int64_t x, std::int64_t row) {
  const std::int64_t key = line.key + x;
  if (x < 0 || x + K > job.from.x || (key & 63) + K > 64) return look_up_taps(job, block, line, x, row);
  std::int32_t rows[K];
  job.in.rows_in_word<K, count>(key, rows);
  for (int k = 0; k < K; ++k) line.map[k * block.rows + row] = rows[k];
}

// The lines for rows [first, last) of the block, which lie on the same row of x as cell `o`. What lies outside of the
// grid is filled with -1 at once.
void find_lines(const Job& job, const Cell& o, std::int64_t first, std::int64_t last, Block& block) {
  const SparseWindow& w = job.window;
  block.line_count = 0;
  std::int32_t* map = block.map;
  for (int kz = 0; kz < w.kernel[0]; ++kz) {
    const std::int64_t z = o.z * w.stride[0] - w.padding[0] + std::int64_t{kz} * w.dilation[0];
    for (int ky = 0; ky < w.kernel[1]; ++ky, map += w.kernel[2] * block.rows) {
      const std::int64_t y = o.y * w.stride[1] - w.padding[1] + std::int64_t{ky} * w.dilation[1];
      if (z >= 0 && z < job.from.z && y >= 0 && y < job.from.y) {
        block.lines[block.line_count++] = {job.from.key(o.batch, z, y, 0), map};
        continue;
      }
      for (int kx = 0; kx < w.kernel[2]; ++kx)
        std::fill(map + kx * block.rows + first, map + kx * block.rows + last, -1);
    }
  }
}

// A block of the output's sites, through the bitmap. Lines are found once for all sites on a row of x; then it goes
// site by site (few lie on one row: a loop over them for every line would be as short as its end is unforeseen).
template <Counts count>
void look_up(const Job& job, std::span<const std::int64_t> sites, Block& block) {
  const SparseWindow& w = job.window;
  const bool adjacent = w.kernel[2] == 3 && w.dilation[2] == 1;
  for (std::size_t r = 0; r < sites.size();) {
    const Cell o = cell_of(job.to, sites[r]);
    const std::int64_t start = sites[r] - o.x;
    std::size_t end = r + 1;
    while (end < sites.size() && sites[end] < start + job.to.x) ++end;
    find_lines(job, o, static_cast<std::int64_t>(r), static_cast<std::int64_t>(end), block);
    const std::span<const Line> lines(block.lines, static_cast<std::size_t>(block.line_count));
    for (; r < end; ++r) {
      const std::int64_t x = (sites[r] - start) * w.stride[2] - w.padding[2], row = static_cast<std::int64_t>(r);
      if (adjacent) {
        for (const Line& line : lines) look_up_adjacent<3, count>(job, block, line, x, row);
      } else {
        for (const Line& line : lines) look_up_taps(job, block, line, x, row);
      }
    }
  }
}

template <Counts count>
void look_up_rows(const Job& job, std::int64_t first, std::int64_t last) {
  Block block(job.window.taps());
  for (std::int64_t r = first; r < last; r += block.rows) {
    const std::int64_t rows = std::min(block.rows, last - r);
    look_up<count>(job, job.out.subspan(static_cast<std::size_t>(r), static_cast<std::size_t>(rows)), block);
    for (std::int64_t tap = 0; tap < job.window.taps(); ++tap)
      std::copy_n(block.map + tap * block.rows, rows, job.rulebook.tap(tap) + r);
  }
}

// One tap by walking both sorted lists: as output sites ascend, so do the input cells that one tap makes of them.
void walk(const Job& job, std::int64_t tap) {
  const SparseWindow& w = job.window;
  const Axis in = sizes(job.from);
  const std::int64_t kx = tap % w.kernel[2], ky = tap / w.kernel[2] % w.kernel[1], kz = tap / w.kernel[2] / w.kernel[1];
  const std::span<const std::int64_t> keys = job.in.keys();
  std::int32_t* map = job.rulebook.tap(tap);
  std::size_t next = 0;
  for (std::size_t r = 0; r < job.out.size(); ++r) {
    const Cell o = cell_of(job.to, job.out[r]);
    const std::int64_t z = o.z * w.stride[0] - w.padding[0] + kz * w.dilation[0],
                       y = o.y * w.stride[1] - w.padding[1] + ky * w.dilation[1],
                       x = o.x * w.stride[2] - w.padding[2] + kx * w.dilation[2];
    map[r] = -1;
    if (z < 0 || z >= in[0] || y < 0 || y >= in[1] || x < 0 || x >= in[2]) continue;
    const std::int64_t key = job.from.key(o.batch, z, y, x);
    while (next < keys.size() && keys[next] < key) ++next;
    if (next < keys.size() && keys[next] == key) map[r] = static_cast<std::int32_t>(next);
  }
}

// Tile 0 is the work beside, so that its thread begins with it.
void run_lookups(void* context, std::int64_t first, std::int64_t last, int) {
  const Job& job = *static_cast<const Job*>(context);
  if (first == 0 && job.beside != nullptr) (*job.beside)();
  const auto call = SiteIndex::counts_in_hardware() ? look_up_rows<SiteIndex::population_in_hardware>
                                                    : look_up_rows<SiteIndex::population>;
  call(job, std::max<std::int64_t>(0, first - 1) * kRowsOfTile,
       std::min((last - 1) * kRowsOfTile, job.rulebook.rows()));
}

void run_walks(void* context, std::int64_t first, std::int64_t last, int) {
  const Job& job = *static_cast<const Job*>(context);
  if (first == 0 && job.beside != nullptr) (*job.beside)();
  for (std::int64_t tap = std::max<std::int64_t>(0, first - 1); tap < last - 1; ++tap) walk(job, tap);
}

}  // namespace

void Rulebook::resize(std::int64_t taps, std::int64_t rows) {
  taps_ = taps, rows_ = rows;
  const auto size = static_cast<std::size_t>(taps * rows);
  if (data_.size() < size) data_.resize(size + size / 4);
}

std::int64_t Rulebook::pairs() const {
  return std::ranges::count_if(map(), [](std::int32_t row) { return row >= 0; });
}

void output_sites(std::span<const std::int64_t> keys, const SparseGrid& from, const SparseGrid& to, std::int64_t batch,
                  const SparseWindow& window, SiteIndex& index, std::vector<std::int64_t>& out,
                  std::int64_t most_cells) {
  const std::int64_t cells = to.cells() * batch;
  if (cells <= most_cells) {
    index.collect(cells, out, [&](auto add) { for_each_output(keys, from, to, window, add); });
    return;
  }
  out.clear();
  for_each_output(keys, from, to, window, [&](std::int64_t key) { out.push_back(key); });
  std::ranges::sort(out);
  const auto repeated = std::ranges::unique(out);
  out.erase(repeated.begin(), repeated.end());
  index.assign(out, cells, most_cells);
}

void make_rulebook(const SiteIndex& in, const SparseGrid& from, std::span<const std::int64_t> out, const SparseGrid& to,
                   const SparseWindow& window, ThreadPool& pool, Rulebook& rulebook,
                   const std::function<void()>* beside) {
  const auto rows = static_cast<std::int64_t>(out.size());
  rulebook.resize(window.taps(), rows);
  Job job{in, from, out, to, window, rulebook, beside};
  if (in.has_bitmap()) {
    pool.run(1 + (rows + kRowsOfTile - 1) / kRowsOfTile, run_lookups, &job);
  } else {
    pool.run(1 + window.taps(), run_walks, &job);
  }
}

void invert(const Rulebook& forward, std::int64_t inputs, Rulebook& inverse) {
  inverse.resize(forward.taps(), inputs);
  for (std::int64_t tap = 0; tap < forward.taps(); ++tap) {
    std::int32_t* map = inverse.tap(tap);
    std::fill_n(map, inputs, -1);
    for (std::int64_t r = 0; r < forward.rows(); ++r) {
      if (const std::int32_t in = forward.input(tap, r); in >= 0) map[in] = static_cast<std::int32_t>(r);
    }
  }
}

}  // namespace octet
