#include "runtime/onnx/range_metadata.h"

#include <cmath>
#include <sstream>

#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::onnx {
namespace {

constexpr const char* kKey = "octet.ranges";
constexpr const char* kFloatKey = "octet.float";
constexpr const char* kSumsKey = "octet.exact_sums";

std::string escaped(const std::string& name) {
  std::string result;
  for (const char c : name) {
    if (c == ' ' || c == '\n' || c == '\\') {
      result += fmt::format("\\x{:02x}", static_cast<int>(c));
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

void apply_range_metadata(const Model& model, const std::string& name, QuantParams& quant) {
  const auto found = model.metadata.find(kKey);
  if (found == model.metadata.end()) return;
  const std::string wanted = "\n" + escaped(name) + " ";
  const std::string text = "\n" + found->second;
  const std::size_t at = text.find(wanted);
  if (at == std::string::npos) return;
  std::istringstream line(text.substr(at + wanted.size(), text.find('\n', at + 1) - at - wanted.size()));
  std::int32_t lo = 0, hi = 0;
  std::string dead;
  const bool read = static_cast<bool>(line >> lo >> hi);
  require(read && lo >= quant.lo && hi <= quant.hi && lo < hi && quant.zero >= lo && quant.zero <= hi,
          "metadata {}: '{}' has no range within [{}, {}] around {}", kKey, printable(name), quant.lo, quant.hi,
          quant.zero);
  quant.lo = lo, quant.hi = hi;
  quant.dead = line >> dead && dead == "dead";
}

void add_range_metadata(Model& model, const std::string& name, const QuantParams& quant) {
  model.metadata[kKey] += fmt::format("{} {} {}{}\n", escaped(name), quant.lo, quant.hi, quant.dead ? " dead" : "");
}

void add_float_layer(Model& model, const std::string& layer) { model.metadata[kFloatKey] += escaped(layer) + "\n"; }

std::set<std::string> float_layers(const Model& model) {
  std::set<std::string> layers;
  const auto found = model.metadata.find(kFloatKey);
  if (found == model.metadata.end()) return layers;
  std::istringstream lines(found->second);
  for (std::string line; std::getline(lines, line);) layers.insert(line);
  return layers;
}

void mark_exact_sums(Model& model) { model.metadata[kSumsKey] = "rule 11"; }

bool is_scale_of_sum(const Model& model, float scale, float step) {
  // 16 significant bits: off by at most 2^-16 of the value; the product with the sum's step rounds once more.
  return model.metadata.contains(kSumsKey) && std::fabs(scale - step) <= step * (0x1p-16f + 0x1p-22f);
}

}  // namespace octet::onnx
