// Residual additions that become part of the convolution before them: its result is added to the other operand as it is
// stored, which saves writing it and reading it again.
#include <algorithm>

#include "kernels/plan/planner.h"

namespace octet::kernels {
namespace {

// A value with memory of its own: neither a part of another nor made of parts.
bool stands_alone(const Layout& layout, int value) {
  if (layout[value].parent >= 0 || layout[value].place != Place::arena) return false;
  for (int i = 0; i < layout.size(); ++i) {
    if (layout[i].parent == value) return false;
  }
  return true;
}

const ConvParams& params_of(const Pending& p) { return p.conv->params; }

bool takes_residual(const Pending& p) {
  return p.step.op == Op::conv2d && p.conv != nullptr && p.kernel.fuses_add() && p.inputs.size() == 1 &&
         !params_of(p).fused_max_pool && params_of(p).epilogue.form == Epilogue::Form::one_multiply;
}

}  // namespace

// The later one of an addition's two producers takes it in, when it is a convolution whose result nobody else reads.
// Pixels may be computed twice (kernels move a row's last ones back), so the sum never overwrites the residual.
void Planner::fuse_adds() {
  if (options_.keep_edges) return;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Pending& add = steps_[i];
    if (add.kernel.op() != "add_s8" || add.inputs.size() != 2 || add.inputs[0] == add.inputs[1]) continue;
    const auto makes_operand = [&](const Pending& p) { return std::ranges::count(add.inputs, p.output) > 0; };
    std::size_t last = i;
    while (last > 0 && !makes_operand(steps_[last - 1])) --last;
    if (last == 0) continue;
    Pending& conv = steps_[last - 1];
    const int own = conv.output, term = add.inputs[0] == own ? 0 : 1,
              other = add.inputs[static_cast<std::size_t>(1 - term)];
    const auto readers = std::ranges::count_if(
        steps_, [&](const Pending& p) { return std::ranges::find(p.inputs, own) != p.inputs.end(); });
    const bool alone = std::ranges::all_of(std::initializer_list<int>{own, other, add.output},
                                           [&](int value) { return stands_alone(layout_, value); });
    if (!takes_residual(conv) || readers != 1 || !alone) continue;

    const auto& p = *static_cast<const AddParams*>(add.step.params.get());
    const auto at = [&](const auto& array, int index) { return array[index]; };
    conv.conv->params.residual = {.any = true,
                                  .own = at(p.multiplier, term),
                                  .other = at(p.multiplier, 1 - term),
                                  .zero_other = at(p.zero_in, 1 - term),
                                  .zero_out = p.zero_out,
                                  .lo = p.lo,
                                  .hi = p.hi};
    conv.inputs.push_back(other);
    conv.output = add.output;
    conv.step.completes = add.step.completes;
    conv.step.note += (conv.step.note.empty() ? "with " : "; with ") + add.step.name;
    steps_.erase(steps_.begin() + static_cast<std::ptrdiff_t>(i));
    --i;
  }
}

// A residual is read at the same distance from each output: both get each other's halo.
void Planner::align_residuals() {
  for (bool changed = true; changed;) {
    changed = false;
    for (const Pending& p : steps_) {
      if (p.conv == nullptr || !params_of(p).residual.any) continue;
      Halo &other = layout_[layout_.root_of(p.inputs[1])].halo, &out = layout_[layout_.root_of(p.output)].halo;
      changed = changed || other != out;
      other.include(out), out.include(other);
    }
  }
}

}  // namespace octet::kernels
