// octet export: the integer program as one file that runs by itself, or as ONNX with QuantizeLinear and
// DequantizeLinear. A network of points may be written in two halves: tools without sparse convolutions run the second.
#include "runtime/onnx/export.h"
#include "examples/common/terminal.h"
#include "examples/octet/calibration.h"
#include "runtime/error.h"
#include "runtime/io/octet_file.h"
#include "runtime/qgraph_parts.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  std::string out, part = "all";
  std::vector<std::string> only, ignore;
  onnx::ExportOptions onnx;
};

int run(Options o) {
  const bool as_onnx = o.out.ends_with(".onnx");
  if (o.common.precision == "fp16") {
    require(as_onnx, "--precision fp16: there are no half-precision kernels yet; only .onnx files are written in it");
    o.onnx.half = true;
    o.common.precision = "fp32";  // what is converted
  }
  require(as_onnx || o.out.ends_with(".octet"), "--out {}: a name that ends in .octet or .onnx was expected", o.out);
  models::LoadedModel model = load(o.common, {.ignore = o.ignore, .only = o.only});
  if (o.part == "sparse") model.network = sparse_part(model.network);
  if (o.part == "dense") model.network = dense_part(model.network);
  if (as_onnx) {
    onnx::write_model(onnx::export_model(model.network, o.onnx), o.out);
  } else {
    save_octet_file(model.network, o.out);
  }
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(o.out));
  if (o.common.json) {
    print_json({{"model", model.name},
                {"precision", o.onnx.half ? "fp16" : name_of(model.precision)},
                {"out", o.out},
                {"model_bytes", bytes},
                {"seeded", model.seeded}});
    return 0;
  }
  for (const QNode& node : model.network.nodes) {
    if (!node.why.empty() && model.precision == Precision::int8) fmt::print("float: {} ({})\n", node.name, node.why);
  }
  fmt::print("{}: {} in {}, {}\n", o.out, model.name, o.onnx.half ? "fp16" : name_of(model.precision),
             examples::human_bytes(bytes));
  return 0;
}

}  // namespace

Command add_export(CLI::App& app) {
  CLI::App* command = app.add_subcommand("export", "write the integer program as an .octet or .onnx file");
  auto o = std::make_shared<Options>();
  add_common(*command, o->common);
  add_image_flags(*command, o->common);
  command->add_option("--out", o->out, "M.octet, or M.onnx (QDQ)")->required();
  command->add_option("--opset", o->onnx.opset, "of an .onnx file")->check(CLI::Range(13, 21))->capture_default_str();
  command->add_flag("--dynamic-batch", o->onnx.dynamic_batch, "an .onnx file for any batch");
  command->add_flag("--exact-sums", o->onnx.exact_sums,
                    "an .onnx file whose sums have Octet's rounding in their scales: other runtimes agree more often");
  command->add_option("--part", o->part, "of a network of points: its sparse convolutions, or what follows them")
      ->check(CLI::IsMember({"all", "sparse", "dense"}))
      ->capture_default_str();
  add_layer_flags(*command, o->only, o->ignore);
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
