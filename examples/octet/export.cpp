// octet export: the integer program as one file that runs by itself, or as ONNX with QuantizeLinear and
// DequantizeLinear.
#include "runtime/onnx/export.h"
#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "runtime/error.h"
#include "runtime/io/octet_file.h"

namespace octet::cli {
namespace {

struct Options {
  Common common;
  std::string out;
  std::vector<std::string> only, ignore;
  onnx::ExportOptions onnx;
};

int run(const Options& o) {
  const bool as_onnx = o.out.ends_with(".onnx");
  require(as_onnx || o.out.ends_with(".octet"), "--out {}: a name that ends in .octet or .onnx was expected", o.out);
  const models::LoadedModel model = load(o.common, {.ignore = o.ignore, .only = o.only});
  if (as_onnx) {
    onnx::write_model(onnx::export_model(model.network, o.onnx), o.out);
  } else {
    save_octet_file(model.network, o.out);
  }
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(o.out));
  if (o.common.json) {
    print_json({{"model", model.name},
                {"precision", name_of(model.precision)},
                {"out", o.out},
                {"model_bytes", bytes},
                {"seeded", model.seeded}});
    return 0;
  }
  for (const QNode& node : model.network.nodes) {
    if (!node.why.empty() && model.precision == Precision::int8) fmt::print("float: {} ({})\n", node.name, node.why);
  }
  fmt::print("{}: {} in {}, {}\n", o.out, model.name, name_of(model.precision), examples::human_bytes(bytes));
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
  command->add_option("--only", o->only, "quantise only the layers that match");
  command->add_option("--ignore", o->ignore, "leave the layers that match in float");
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
