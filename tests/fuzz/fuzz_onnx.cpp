// libFuzzer target: any bytes as an ONNX file, through the reader, the importer and the lowering of quantised files.
// Nothing but Error may come out, in bounded time and memory. Built by tests/fuzz/run.sh with clang; not part of the
// usual build.
#include <cstddef>
#include <cstdint>

#include "runtime/error.h"
#include "runtime/onnx/import.h"
#include "runtime/onnx/lower_quantised.h"
#include "runtime/onnx/range_metadata.h"

using namespace octet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
    const onnx::Model model = onnx::parse_model(bytes, "/nonexistent", "fuzz.onnx");
    std::vector<std::string> notes;
    Graph graph = onnx::import_graph(model, "fuzz", &notes);
    if (onnx::is_quantised(graph)) {
      onnx::lower_quantised(graph, notes, onnx::float_layers(model));
    } else {
      onnx::observe_activations(graph);
    }
  } catch (const Error&) {
    return 0;
  }
  return 0;
}
