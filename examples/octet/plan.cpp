// octet plan: for every layer its precision, its kernel and, where it is not INT8, why not.
#include <fmt/format.h>

#include "examples/common/terminal.h"
#include "examples/octet/calibration.h"
#include "kernels/cuda/registry.h"
#include "kernels/registry.h"
#include "runtime/cuda/device.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  int batch = 1;
  std::vector<std::string> only, ignore;
};

struct Layer {
  const Step* step;
  const QNode* node;  // null for steps that no node stands for (a halo, a layout change)
};

// Each step with the node that it computes.
std::vector<Layer> layers_of(const Program& program) {
  std::vector<Layer> layers;
  for (const Step& step : program.steps) {
    const QNode* node = nullptr;
    for (const QNode& candidate : program.graph.nodes) {
      if (step.name == candidate.name || step.name.starts_with(candidate.name + "[")) node = &candidate;
    }
    layers.push_back({&step, node});
  }
  return layers;
}

// The last step up to which every result is integers (or comes straight from integers), equal on every device.
std::string exact_through(const Program& program) {
  std::string last = "nothing (the first layer is float)";
  for (const Step& step : program.steps) {
    // where the voxels are: no arithmetic
    if (step.kind == Step::Kind::sites || step.kind == Step::Kind::voxels) continue;
    const DType type = program.slots[static_cast<std::size_t>(step.output)].view.type;
    if (step.precision != Precision::int8 && type == DType::f32) break;
    last = step.name;
  }
  return last;
}

// "12 px x 32 ch, 220 parts": what the kernel has in registers at a time, and into how many parts threads may split the
// step. On CUDA the kernel's own words for its launch configuration.
std::string tile_of(const Program& program, const Step& step) {
  for (const kernels::cuda::Kernel* kernel : kernels::cuda::all_kernels()) {
    if (step.launch == nullptr || kernels::cuda::name_of(*kernel) != step.variant) continue;
    return kernel->describe == nullptr ? "-" : kernel->describe(step.config);
  }
  std::vector<View> inputs;
  for (const int input : step.inputs) inputs.push_back(program.slots[static_cast<std::size_t>(input)].view);
  const StepArgs args{inputs.data(), static_cast<std::int32_t>(inputs.size()),
                      program.slots[static_cast<std::size_t>(step.output)].view, step.params.get(), nullptr};
  std::string text;
  for (const kernels::Kernel* kernel : kernels::all_kernels()) {
    if (kernels::name_of(*kernel) != step.variant || kernel->tile == nullptr) continue;
    const kernels::Tile tile = kernel->tile(args);
    text = fmt::format("{} px x {} ch, ", tile.pixels, tile.channels);
  }
  const std::int64_t parts = step.tiles == nullptr ? 1 : step.tiles(args);
  return text + fmt::format("{} part{}", parts, parts == 1 ? "" : "s");
}

json layer_json(const Program& program, const Layer& layer) {
  const Step& step = *layer.step;
  const View& out = program.slots[static_cast<std::size_t>(step.output)].view;
  json j{{"name", step.name},
         {"op", name_of(step.op)},
         {"shape", {out.c, out.h, out.w}},
         {"precision", name_of(step.precision)},
         {"variant", step.variant},
         {"tile", tile_of(program, step)},
         {"packed_bytes", step.packed_bytes}};
  j["macs"] = step.macs;
  std::string why = layer.node == nullptr ? "" : layer.node->why;
  if (!step.note.empty()) why += (why.empty() ? "" : "; ") + step.note;
  j["why"] = why;
  for (const char* key : {"scale_in", "scale_out", "zero_in", "zero_out"}) j[key] = nullptr;
  if (layer.node == nullptr) return j;
  const QEdge& from = program.graph.edges[static_cast<std::size_t>(layer.node->inputs[0])];
  const QEdge& to = program.graph.edges[static_cast<std::size_t>(layer.node->output)];
  if (from.quantised) j["scale_in"] = from.quant.step, j["zero_in"] = from.quant.zero;
  if (to.quantised) j["scale_out"] = to.quant.step, j["zero_out"] = to.quant.zero;
  return j;
}

std::string number(const json& value) { return value.is_null() ? "-" : fmt::format("{:.6g}", value.get<double>()); }

// Which GPU, or why --device auto did not take one.
std::string device_note(const Common& common, const Program& program) {
  if (program.device == "cuda") return fmt::format("; {}", program.gpu.name);
  return common.device == "auto" ? fmt::format("; no GPU: {}", cuda::status().why) : "";
}

int run(const Options& o) {
  const models::LoadedModel model = load(o.common, {.ignore = o.ignore, .only = o.only});
  const auto program = kernels::plan(model.network, plan_options(o.common, model, o.batch));
  json layers = json::array();
  for (const Layer& layer : layers_of(*program)) layers.push_back(layer_json(*program, layer));
  const std::string exact = exact_through(*program);
  if (o.common.json) {
    print_json({{"model", model.name},
                {"precision", name_of(model.precision)},
                {"device", program->device},
                {"kernel_isa", program->isa},
                {"batch", program->batch},
                {"exact_through", exact},
                {"arena_bytes", program->arena_bytes},
                {"packed_bytes", program->packed_bytes()},
                {"seeded", model.seeded},
                {"layers", layers}});
    return 0;
  }
  examples::Table table(
      {"layer", "op", "shape", "precision", "kernel", "tile", "step in", "step out", "MMAC", "packed", "why"});
  for (const json& l : layers) {
    table.add({l["name"], l["op"], fmt::format("{}", fmt::join(l["shape"].get<std::vector<int>>(), "x")),
               l["precision"], l["variant"], l["tile"], number(l["scale_in"]), number(l["scale_out"]),
               fmt::format("{:.2f}", l["macs"].get<double>() / 1e6), examples::human_bytes(l["packed_bytes"]),
               l["why"]});
  }
  fmt::print("{} on {}, instruction set {}, batch {}{}\ninput: {}\n\n{}", model.name, program->device, program->isa,
             program->batch, device_note(o.common, *program), describe_input(model), table.str());
  const char* meaning = exact.starts_with("nothing") ? "" : ": up to there every device gives the same bytes";
  fmt::print("\nexact through {}{}\narena {}, packed weights {}\n", exact, meaning,
             examples::human_bytes(static_cast<std::int64_t>(program->arena_bytes)),
             examples::human_bytes(static_cast<std::int64_t>(program->packed_bytes())));
  return 0;
}

}  // namespace

Command add_plan(CLI::App& app) {
  CLI::App* command = app.add_subcommand("plan", "show every layer's precision and kernel, and why");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  command->add_option("--batch", o->batch, "photos a run")->check(CLI::Range(1, 4096))->capture_default_str();
  add_layer_flags(*command, o->only, o->ignore);
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
