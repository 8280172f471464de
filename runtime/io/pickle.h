// A pickle read as inert data. Nothing is imported, called or constructed: a class is its name, a call is the name of
// the callee with its arguments, and an object keeps the state that it was given. So a hostile pickle can only be
// wrong, never do anything.
//
// Values live in one array and refer to each other by index, so cycles leak nothing and freeing never recurses.
// Protocols 0 to 5, all opcodes except the extension registry and out-of-band buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octet::pickle {

using Id = std::uint32_t;  // index into Pickle::values
constexpr Id kNothing = 0xffffffffu;

enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,
  big_integer,
  real,
  text,
  bytes,
  tuple,
  list,
  dict,
  set,
  global,      // a class or function: `text` is "module.name"
  object,      // `callee` called with `args`, then given `items` (append), `pairs` (set item) and `state` (build)
  persistent,  // something outside the pickle: `args` is its persistent id
};

struct Value {
  Kind kind = Kind::none;
  std::int64_t integer = 0;  // integer; boolean as 0 or 1
  double real = 0;
  std::string text{};  // text (UTF-8), bytes, global; big_integer: two's complement, or decimal digits of protocol 0
  std::vector<Id> items{};  // tuple, list, set, object
  std::vector<Id> pairs{};  // dict, object: key, value, key, value, ...
  Id callee = kNothing;
  Id args = kNothing;
  Id state = kNothing;
};

struct Pickle {
  std::vector<Value> values;
  Id root = kNothing;
  std::size_t end = 0;  // offset of the byte after the final STOP

  const Value& operator[](Id id) const { return values[id]; }
};

// Limits against lying streams: a byte of a pickle can ask for a value of 100 bytes, so the stream's own size does not
// bound the memory. Together these keep a Pickle below some 300 MB. A network of 300 tensors takes about 10,000 values.
constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxValues = std::size_t{1} << 20;
constexpr std::size_t kMaxReferences = std::size_t{1} << 22;  // elements of all containers together
constexpr std::size_t kMaxClassName = 1024;

// Reads one pickle that starts at `begin`. Throws Error with `name` and the offset: cut short, an unknown opcode, a
// stack that does not fit, over the limits.
Pickle read(std::span<const std::byte> bytes, std::size_t begin, const std::string& name);

// "an integer", "a dict", "an object of the class x.Y": for messages.
std::string describe(const Pickle& pickle, Id id);

}  // namespace octet::pickle
