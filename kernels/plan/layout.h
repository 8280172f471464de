// Where activations live: which share memory, which have a border, and at which offset of the arena each lies.
//
// One activation is a Value. A Value either is a root, which owns a rectangle of memory per image
//
//         halo.left            w            halo.right
//       +----------+------------------------+----------+
//       |          |        halo.top        |          |
//       |          +------------------------+          |     each pixel: stride_w elements, channels side by side
//       |          |  (0,0)                 |          |
//       |          |           h            |          |
//       |          +------------------------+          |
//       |          |      halo.bottom       |          |
//       +----------+------------------------+----------+
//
// or is a phase of its parent: every step_y-th row from phase_y on, every step_x-th column from phase_x on (a
// transposed convolution's outputs); or a slice: the same pixels, channels [channel_offset, channel_offset + c).
// In-place concatenation (a producer writes its slice of the joint tensor) and in-place addition (the sum overwrites an
// operand that nobody needs any more) are both slices; a slice shares its root's halo and lifetime, so the three
// concerns are one problem.
#pragma once

#include <string>
#include <vector>

#include "runtime/program.h"

namespace octet::kernels {

struct Halo {
  int top = 0, left = 0, bottom = 0, right = 0;
  bool operator==(const Halo&) const = default;
  bool any() const { return top + left + bottom + right > 0; }
  void include(const Halo& other);
};

struct Value {
  DType type = DType::f32;
  int c = 1, h = 1, w = 1;
  Place place = Place::arena;
  int fill = 0;                               // what a halo holds: the zero point
  std::int32_t lowest = -128, highest = 255;  // of the stored integers, as far as planning can prove
  EdgeId edge = -1;
  int level = -1;  // sparse: the set of sites whose rows it has (h = w = 1: one row)
  int parent = -1;
  int channel_offset = 0;
  int phase_y = 0, phase_x = 0, step_y = 1, step_x = 1;
  bool is_phase = false;
  // Of roots:
  Halo halo;
  int first = -1, last = -1;  // steps between which the memory is in use
  std::int64_t offset = 0;    // of the whole rectangle, in bytes
  int block = -1;             // sparse: in Program::sparse_blocks
};

class Layout {
 public:
  Layout(int batch, bool on_gpu) : batch_(batch), on_gpu_(on_gpu) {}

  int add(Value value);  // returns its index
  Value& operator[](int index) { return values_[static_cast<std::size_t>(index)]; }
  const Value& operator[](int index) const { return values_[static_cast<std::size_t>(index)]; }
  int size() const { return static_cast<int>(values_.size()); }

  int root_of(int index) const;
  int channel_offset_of(int index) const;  // relative to the root
  void use(int index, int step);           // the step reads or writes the value
  // Gives every root its offset (sparse ones: their block, which a Context places); returns the arena's size.
  std::size_t assign_offsets();
  const std::vector<SparseBlock>& sparse_blocks() const { return sparse_blocks_; }
  Slot slot(int index) const;
  // The view of a value that is not (yet) a slice, without data.
  View view_of(const Value& value) const { return view_of(value, value); }
  // From one pixel of a root to the next, in elements: on a GPU what kernels/cuda/layout.h says.
  std::int64_t pixel_stride(const Value& root) const;

 private:
  View view_of(const Value& value, const Value& root) const;
  std::int64_t bytes_of_root(const Value& root) const;

  int batch_;
  bool on_gpu_;
  std::vector<Value> values_;
  std::vector<SparseBlock> sparse_blocks_;
};

}  // namespace octet::kernels
