#include "kernels/plan/layout.h"

#include <algorithm>

#include "kernels/cuda/layout.h"
#include "runtime/arena.h"
#include "runtime/error.h"

namespace octet::kernels {

void Halo::include(const Halo& other) {
  top = std::max(top, other.top), left = std::max(left, other.left);
  bottom = std::max(bottom, other.bottom), right = std::max(right, other.right);
}

int Layout::add(Value value) {
  values_.push_back(value);
  return size() - 1;
}

int Layout::root_of(int index) const {
  while ((*this)[index].parent >= 0) index = (*this)[index].parent;
  return index;
}

int Layout::channel_offset_of(int index) const {
  int offset = 0;
  for (; (*this)[index].parent >= 0; index = (*this)[index].parent) offset += (*this)[index].channel_offset;
  return offset;
}

void Layout::use(int index, int step) {
  Value& root = (*this)[root_of(index)];
  if (root.first < 0) root.first = step;
  root.last = std::max(root.last, step);
}

std::int64_t Layout::bytes_of_root(const Value& v) const {
  const std::int64_t pixels = std::int64_t{v.h + v.halo.top + v.halo.bottom} * (v.w + v.halo.left + v.halo.right);
  const std::int64_t bytes = pixels * pixel_stride(v) * size_of(v.type) * batch_;
  require(bytes < (std::int64_t{1} << 40), "an activation of {}x{}x{} for a batch of {} is too large", v.c, v.h, v.w,
          batch_);
  return bytes;
}

std::size_t Layout::assign_offsets() {
  std::vector<int> roots;
  std::vector<ArenaBlock> blocks;
  for (int i = 0; i < size(); ++i) {
    Value& v = (*this)[i];
    if (v.parent >= 0 || v.place != Place::arena || v.first < 0) continue;
    if (v.level >= 0) {
      v.block = static_cast<int>(sparse_blocks_.size());
      sparse_blocks_.push_back({v.level, pixel_stride(v) * size_of(v.type), v.first, v.last});
      continue;
    }
    roots.push_back(i);
    blocks.push_back({bytes_of_root(v), v.first, v.last});
  }
  const std::int64_t bytes = place_blocks(blocks);
  for (std::size_t i = 0; i < roots.size(); ++i) (*this)[roots[i]].offset = blocks[i].offset;
  return static_cast<std::size_t>(bytes);
}

std::int64_t Layout::pixel_stride(const Value& root) const {
  return on_gpu_ ? cuda::pixel_pitch(root.c, root.type) / size_of(root.type) : root.c;
}

View Layout::view_of(const Value& v, const Value& root) const {
  View view;
  view.type = v.type;
  view.n = batch_, view.h = v.h, view.w = v.w, view.c = v.c;
  const bool photo = root.place == Place::network_input && v.type == DType::u8;
  if (v.level >= 0) {  // one row a site, of which a Context knows the number
    view.n = 1, view.h = 1, view.w = 1;
    // (the network's input: the caller's rows, without gaps)
    view.stride_c = 1, view.stride_w = root.place == Place::network_input ? root.c : pixel_stride(root);
    view.stride_h = view.stride_n = view.stride_w;
    return view;
  }
  if (root.place != Place::arena && !photo) {  // the caller's tensor: NCHW
    view.stride_w = 1;
    view.stride_h = v.w;
    view.stride_c = std::int64_t{v.h} * v.w;
    view.stride_n = view.stride_c * v.c;
    return view;
  }
  view.stride_c = 1;
  view.stride_w = photo ? root.c : pixel_stride(root);
  view.stride_h = view.stride_w * (root.w + root.halo.left + root.halo.right);
  view.stride_n = view.stride_h * (root.h + root.halo.top + root.halo.bottom);
  view.stride_w *= v.step_x, view.stride_h *= v.step_y;
  return view;
}

Slot Layout::slot(int index) const {
  const Value& root = (*this)[root_of(index)];
  Slot slot{.place = root.place, .offset = 0, .view = view_of((*this)[index], root)};
  slot.level = root.level, slot.block = root.block;
  if (root.place != Place::arena) return slot;
  // (Nothing is part of a phase, so the value's own phase is the only one on the way to its root.)
  const Value& value = (*this)[index];
  const std::int64_t row = slot.view.stride_h / value.step_y, column = slot.view.stride_w / value.step_x;
  const std::int64_t element =
      (root.halo.top + value.phase_y) * row + (root.halo.left + value.phase_x) * column + channel_offset_of(index);
  slot.offset = root.offset + element * size_of(root.type);
  return slot;
}

}  // namespace octet::kernels
