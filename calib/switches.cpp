#include "calib/switches.h"

#include <algorithm>
#include <cctype>

#include "calib/expressions.h"
#include "runtime/error.h"

namespace octet::calib {
namespace {

std::string escaped(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || (c & 0x80) != 0;
    if (!plain) text += '\\';
    text += c;
  }
  return text;
}

}  // namespace

std::string exactly(std::string_view name) { return escaped(name) + "$"; }
std::string below(std::string_view block) { return escaped(block) + "\\."; }

std::vector<std::string> blocks_of(const std::vector<std::string>& layers) {
  std::map<std::string, std::size_t> sizes;
  for (const std::string& layer : layers) {
    for (std::size_t dot = layer.find('.'); dot != std::string::npos; dot = layer.find('.', dot + 1)) {
      ++sizes[layer.substr(0, dot)];
    }
  }
  std::vector<std::string> blocks;
  for (const std::string& layer : layers) {
    std::size_t around = layers.size();  // how many layers the block around holds
    for (std::size_t dot = layer.find('.'); dot != std::string::npos; dot = layer.find('.', dot + 1)) {
      const std::string block = layer.substr(0, dot);
      const std::size_t size = sizes.at(block);
      const bool known = std::ranges::find(blocks, block) != blocks.end();
      if (!known && size >= 2 && size < around) blocks.push_back(block);
      around = size;
    }
  }
  return blocks;
}

QuantiserSwitches::QuantiserSwitches(const Graph& graph) : layers_(quantisable_layers(graph)) {
  for (const std::string& layer : layers_) on_[layer] = true;
}

bool QuantiserSwitches::enabled(std::string_view layer) const {
  const auto found = on_.find(layer);
  require(found != on_.end(), "no layer is named '{}'; close names are {}", layer,
          close_names(std::string(layer), layers_));
  return found->second;
}

QuantiseOptions QuantiserSwitches::options() const {
  QuantiseOptions options;
  for (const std::string& layer : layers_) {
    if (!on_.at(layer)) options.ignore.push_back(exactly(layer));
  }
  return options;
}

std::vector<std::string> QuantiserSwitches::set(const std::string& expression, bool enabled) {
  const std::vector<std::string> caught = layers_matching(layers_, expression, enabled ? "enable" : "disable");
  for (const std::string& layer : caught) on_[layer] = enabled;
  return caught;
}

}  // namespace octet::calib
