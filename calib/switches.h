// Which layers of a network are quantised, switched by name: whole blocks by an expression, for good or for a scope.
//
//     QuantiserSwitches switches(graph);
//     switches.disable("layer1\\.");
//     { const auto scope = switches.scoped("layer2\\.", false); score(quantise(graph, ranges, switches.options())); }
//     // layer2 is as it was before the scope, whatever that was; layer1 is still off
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "calib/quantise.h"

namespace octet::calib {

// An expression that matches this layer's name and no other, or all layers below this block.
std::string exactly(std::string_view name);
std::string below(std::string_view block);

// The prefixes, at dots, under which at least two of the layers stand but not all: "features.3" and "features.3.conv".
// In the order of their first layer, an outer block before its inner ones. A block whose layers are all those of the
// block around it is left out.
std::vector<std::string> blocks_of(const std::vector<std::string>& layers);

class QuantiserSwitches {  // not thread-safe
 public:
  explicit QuantiserSwitches(const Graph& graph);  // all on

  // Switch every layer that the expression matches (from the start of its dotted name) and return their names. Throws
  // Error that lists close names when there is none.
  std::vector<std::string> disable(const std::string& expression) { return set(expression, false); }
  std::vector<std::string> enable(const std::string& expression) { return set(expression, true); }
  bool enabled(std::string_view layer) const;  // throws Error for a name that is no layer
  // What quantise() wants.
  QuantiseOptions options() const;

  // Switches for its lifetime, then puts back what was there before.
  class Scope {
   public:
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { switches_.on_ = before_; }

   private:
    friend class QuantiserSwitches;
    Scope(QuantiserSwitches& switches, const std::string& expression, bool enabled)
        : switches_(switches), before_(switches.on_) {
      switches.set(expression, enabled);
    }
    QuantiserSwitches& switches_;
    std::map<std::string, bool, std::less<>> before_;
  };
  // Errors as disable().
  [[nodiscard]] Scope scoped(const std::string& expression, bool enabled) { return {*this, expression, enabled}; }

 private:
  std::vector<std::string> set(const std::string& expression, bool enabled);

  std::vector<std::string> layers_;
  std::map<std::string, bool, std::less<>> on_;
};

}  // namespace octet::calib
