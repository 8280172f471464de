// Memory: which activations share storage, which get a halo, and the final views that each step is bound to.
#include <algorithm>

#include "kernels/cuda/layout.h"
#include "kernels/plan/planner.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::kernels {
namespace {

// Where the next step's packed weights may begin.
std::size_t round_up(std::size_t bytes) {
  return (bytes + Tensor::kAlignment - 1) / Tensor::kAlignment * Tensor::kAlignment;
}

bool is_copy(const Pending& p) { return p.step.op == Op::concat && p.inputs.size() == 1; }

}  // namespace

// A root in the arena that no other value is a slice of and whose maker can be told to write elsewhere.
bool Planner::shareable(int value) const {
  const Value& v = layout_[value];
  if (v.parent >= 0 || v.place != Place::arena || value == real_input_) return false;
  bool in_phases = false;  // whose writers go wherever it goes
  for (int i = 0; i < layout_.size(); ++i) {
    if (layout_[i].parent != value) continue;
    if (!layout_[i].is_phase) return false;
    in_phases = true;
  }
  return in_phases || std::ranges::count_if(steps_, [&](const Pending& p) { return p.output == value; }) == 1;
}

// Whether what is written into `slice` lies as the kernels of `from` want it. On a GPU they want 16-byte alignment, and
// a pixel as small as kernels/cuda/layout.h's small ones to be alone.
bool Planner::fits_as_slice(int from, int slice) const {
  if (!options_.gpu) return true;
  const auto in_vectors = [&](std::int64_t elements) {
    return elements * size_of(layout_[from].type) % cuda::kVectorBytes == 0;
  };
  return in_vectors(layout_.channel_offset_of(slice)) && in_vectors(layout_.pixel_stride(layout_[from]));
}

// A concat's input that needs no requantising is written into its slice by its own producer: the copy goes away.
void Planner::share_concats() {
  std::vector<Pending> kept;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    Pending& copy = steps_[i];
    const int from = is_copy(copy) ? copy.inputs[0] : -1;
    bool same = from >= 0 && shareable(from) && layout_[from].type == layout_[copy.output].type &&
                fits_as_slice(from, copy.output);
    if (same && layout_[from].type != DType::f32) {
      same = graph_.edges[layout_[from].edge].quant == graph_.edges[layout_[copy.output].edge].quant;
    }
    if (!same) {
      kept.push_back(std::move(copy));
      continue;
    }
    layout_[from].parent = copy.output;
    // What the copy would have completed is now complete after the step before it.
    std::vector<Completed>& completes = kept.back().step.completes;
    completes.insert(completes.end(), copy.step.completes.begin(), copy.step.completes.end());
  }
  steps_ = std::move(kept);
}

// A sum may overwrite an operand that no later step reads.
void Planner::share_adds() {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Pending& add = steps_[i];
    if (add.step.op != Op::add || !shareable(add.output)) continue;
    for (const int operand : add.inputs) {
      const Value& v = layout_[operand];
      const bool same = v.type == layout_[add.output].type && v.fill == layout_[add.output].fill && shareable(operand);
      const bool read_later =
          std::any_of(steps_.begin() + static_cast<std::ptrdiff_t>(i) + 1, steps_.end(),
                      [&](auto& p) { return std::ranges::find(p.inputs, operand) != p.inputs.end(); });
      const bool twice = std::ranges::count(add.inputs, operand) > 1;
      if (!same || read_later || twice) continue;
      layout_[add.output].parent = operand;
      break;
    }
  }
}

void Planner::request_halos() {
  for (const Pending& p : steps_) {
    if (!p.kernel.reads_halo()) continue;
    const Window& w = static_cast<const ConvParams*>(p.step.params.get())->window;
    const Value& in = layout_[p.inputs[0]];
    const Value& out = layout_[p.output];
    Halo halo;
    halo.top = w.pad_top, halo.left = w.pad_left;
    const int pooled = static_cast<const ConvParams*>(p.step.params.get())->fused_max_pool ? 2 : 1;
    halo.bottom = std::max(0, (pooled * out.h - 1) * w.stride_h - w.pad_top + w.span_h() - in.h);
    halo.right = std::max(0, (pooled * out.w - 1) * w.stride_w - w.pad_left + w.span_w() - in.w);
    layout_[layout_.root_of(p.inputs[0])].halo.include(halo);
  }
}

// The border of a value is filled just before its first writer, since its memory served others before.
void Planner::insert_halo_fills() {
  std::vector<bool> filled(static_cast<std::size_t>(layout_.size()), false);
  std::vector<Pending> all;
  for (Pending& p : steps_) {
    const int root = layout_.root_of(p.output);
    const Value& v = layout_[root];
    if (v.place == Place::arena && v.halo.any() && !filled[static_cast<std::size_t>(root)]) {
      filled[static_cast<std::size_t>(root)] = true;
      auto params = std::make_shared<HaloParams>();
      *params = {v.halo.top, v.halo.left, v.halo.bottom, v.halo.right, v.fill};
      Pending fill;
      fill.kernel = select(v.type == DType::f32 ? "halo_f32" : "halo_s8", options_, StepArgs{});
      fill.step.name = p.step.name + ".halo";
      fill.step.op = p.step.op;
      fill.step.precision = v.type == DType::f32 ? Precision::fp32 : Precision::int8;
      fill.step.params = params;
      fill.kernel.put_into(fill.step);
      fill.output = root;
      all.push_back(std::move(fill));
    }
    all.push_back(std::move(p));
  }
  steps_ = std::move(all);
}

void Planner::finish(Program& program) {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    for (const int input : steps_[i].inputs) layout_.use(input, static_cast<int>(i));
    layout_.use(steps_[i].output, static_cast<int>(i));
  }
  program.arena_bytes = layout_.assign_offsets() + View::kReadableBeyond;
  for (int i = 0; i < layout_.size(); ++i) program.slots.push_back(layout_.slot(i));
  program.sparse_blocks = layout_.sparse_blocks();

  const auto args_of = [&](const Pending& p, std::vector<View>& inputs) {
    for (const int input : p.inputs) inputs.push_back(program.slots[static_cast<std::size_t>(input)].view);
    return StepArgs{inputs.data(), static_cast<std::int32_t>(inputs.size()),
                    program.slots[static_cast<std::size_t>(p.output)].view, p.step.params.get(), nullptr};
  };
  // All packed weights are one block of memory: in large pages, where a system has them.
  std::size_t weights = 0;
  for (Pending& p : steps_) {
    if (p.conv == nullptr || p.step.kind == Step::Kind::sites) continue;
    std::vector<View> inputs;
    p.step.packed_bytes = p.kernel.packed_bytes(args_of(p, inputs));
    weights += round_up(p.step.packed_bytes);
  }
  const auto block = std::make_shared<Tensor>(DType::u8, Shape{static_cast<std::int64_t>(weights)});
  std::byte* free = weights == 0 ? nullptr : block->raw();
  for (Pending& p : steps_) {
    p.step.inputs = p.inputs;
    p.step.output = p.output;
    std::vector<View> inputs;
    const StepArgs args = args_of(p, inputs);
    if (p.conv != nullptr && p.step.kind != Step::Kind::sites) {
      p.conv->packed = Tensor(DType::u8, Shape{static_cast<std::int64_t>(p.step.packed_bytes)}, free, block);
      free += round_up(p.step.packed_bytes);
    }
    finish(p, args);
    program.steps.push_back(std::move(p.step));
  }

  const Value& input = layout_[value_of_[graph_.input]];
  const Shape& in = graph_.edges[graph_.input].shape;
  program.input_like = Tensor(input.type, input.type == DType::u8 ? Shape{input.h, input.w, input.c} : in, nullptr);
  program.output_like = Tensor(DType::f32, graph_.edges[graph_.output].shape, nullptr);
}

// What depends on the final strides: packed weights and scratch memory.
void Planner::finish(Pending& p, const StepArgs& args) {
  if (p.step.kind == Step::Kind::sites || p.step.kind == Step::Kind::voxels) return;
  if (p.conv != nullptr) {
    p.kernel.pack(args, p.weights.raw(), p.conv->packed.raw());
    // Weights that lie in a file need not stay in memory beside their packed form.
    if (p.weights.is_view()) not_needed_soon({p.weights.raw(), p.weights.bytes()});
    p.conv->params.weights = p.conv->packed.raw();
  }
  p.step.scratch_bytes = p.kernel.scratch_bytes(args);
  if (options_.gpu) describe_constants(p.kernel.op(), p.step, args);
}

}  // namespace octet::kernels
