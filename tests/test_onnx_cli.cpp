// octet export to ONNX as a user runs it: which layers get Q and DQ, half precision, and what it refuses.
#include <doctest/doctest.h>

#include <set>

#include "runtime/io/onnx_file.h"
#include "tests/onnx_models.h"
#include "tests/photos.h"
#include "tests/program.h"

using namespace octet;
using namespace octet::testing;

namespace {

// The layers whose weights come out of a DequantizeLinear.
std::set<std::string> quantised_layers(const std::string& path) {
  const onnx::Model model = onnx::read_model(path);
  std::set<std::string> names;
  for (const onnx::NodeProto& node : model.nodes) {
    const bool weighted = node.op_type == "Conv" || node.op_type == "Gemm";
    if (weighted && !model.initializers.contains(node.inputs[1])) names.insert(node.name);
  }
  return names;
}

}  // namespace

TEST_CASE("octet export: Q and DQ everywhere, only where --only says, everywhere but where --ignore says") {
  if (!onnx::available()) return;
  const TempFolder temp;
  const auto exported = [&](Arguments more) {
    Arguments all{"export", "catdog", "--out", temp / "m.onnx", "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    const json result = octet_json(all);
    CHECK(result["precision"] == "int8");
    return quantised_layers(temp / "m.onnx");
  };
  const std::set<std::string> all = exported({});
  REQUIRE(all.size() > 3);
  const std::string one = *all.begin();
  CHECK(exported({"--only", one}) == std::set<std::string>{one});
  std::set<std::string> rest = all;
  rest.erase(one);
  CHECK(exported({"--ignore", one}) == rest);
  CHECK(exported({"--only", "cnn.*", "--ignore", one}).count(one) == 0);
  octet_refuses({"export", "catdog", "--only", "nothing", "--out", temp / "x.onnx"}, {"--only", "nothing"});
}

TEST_CASE("octet export: half precision, operator sets, parts of networks that have none") {
  if (!onnx::available()) return;
  const TempFolder temp;
  const json half = octet_json({"export", "catdog", "--precision", "fp16", "--out", temp / "h.onnx", "--quiet"});
  CHECK(half["precision"] == "fp16");
  const onnx::Model model = onnx::read_model(temp / "h.onnx");
  CHECK(model.inputs[0].elem_type == 1);  // float32 outside, FLOAT16 inside
  bool any = false;
  for (const auto& [name, tensor] : model.initializers) {
    CHECK_MESSAGE(tensor.dtype() != DType::f32, name);
    any |= tensor.dtype() == DType::f16;
  }
  CHECK(any);
  const json whole = octet_json({"export", "catdog", "--precision", "fp32", "--out", temp / "f.onnx", "--quiet"});
  CHECK(half["model_bytes"].get<double>() < 0.55 * whole["model_bytes"].get<double>());
  octet_json({"export", "catdog", "--opset", "21", "--dynamic-batch", "--out", temp / "d.onnx", "--quiet"});
  CHECK(onnx::read_model(temp / "d.onnx").opset() == 21);
  octet_refuses({"export", "catdog", "--precision", "fp16", "--out", temp / "x.octet"}, {"fp16", ".onnx"});
  octet_refuses({"export", "catdog", "--part", "dense", "--out", temp / "x.onnx"}, {"catdog", "no sparse part"});
  CHECK(run_octet({"export", "catdog", "--opset", "12", "--out", temp / "x.onnx"}).status == 2);
}

TEST_CASE("ptq starts anew when a layer of the file has another option, with the same name and weights") {
  const TempFolder temp;
  write_photo(temp.path() / "data/0.bmp", 1);
  std::string before;
  for (const float alpha : {0.125f, 0.25f}) {
    test::ModelMaker m({1, 3, 16, 16});
    m.constant("w", test::ramp(Shape{4, 3, 3, 3}));
    m.node("Conv", {"x", "w"}, {"a"}, {}, "conv")
        .node("LeakyRelu", {"a"}, {"b"}, {test::real("alpha", alpha)}, "leaky");
    m.node("GlobalAveragePool", {"b"}, {"c"}, {}, "pool").node("Flatten", {"c"}, {"y"}, {}, "flat");
    onnx::write_model(m.model, temp / "net.onnx");
    const Result result = run_octet({"ptq", temp / "net.onnx", "--data", temp / "data", "--out", temp / "out",
                                     "--no-sensitivity", "--threads", "1", "--quiet"});
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    CHECK(read_text(temp / "out/ranges.json") != before);
    before = read_text(temp / "out/ranges.json");
  }
}
