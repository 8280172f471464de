#include "runtime/io/pickle.h"

#include <algorithm>
#include <utility>

#include "runtime/io/file.h"
#include "runtime/io/pickle_workspace.h"

namespace octet::pickle {
namespace {

// The stack machine of CPython's pickle module, with data in place of actions.
class Machine : Workspace {
 public:
  Machine(std::span<const std::byte> bytes, std::size_t begin, const std::string& name)
      : Workspace(bytes, begin, name) {}

  Pickle run() {
    while (true) {
      const char opcode = in_.take(1)[0];
      if (opcode == '.') break;
      const bool known = step_number(opcode) || step_text(opcode) || step_container(opcode) || step_stack(opcode) ||
                         step_memo(opcode) || step_object(opcode) || step_frame(opcode);
      if (!known) in_.check(false, fmt::format("unknown opcode 0x{:02x}", static_cast<unsigned char>(opcode)));
    }
    pickle_.root = pop();
    pickle_.end = in_.position();
    return std::move(pickle_);
  }

 private:
  bool step_number(char opcode) {
    switch (opcode) {
      case 'N':
        push({});
        return true;
      case '\x88':
        push_boolean(true);
        return true;
      case '\x89':
        push_boolean(false);
        return true;
      case 'J':
        push_integer(static_cast<std::int32_t>(in_.number(4)));
        return true;
      case 'K':
        push_integer(static_cast<std::int64_t>(in_.number(1)));
        return true;
      case 'M':
        push_integer(static_cast<std::int64_t>(in_.number(2)));
        return true;
      case 'G':
        push({.kind = Kind::real, .real = in_.real()});
        return true;
      case '\x8a':
        push_long(in_.take(in_.number(1)));
        return true;
      case '\x8b':
        push_long(in_.take(in_.number(4)));
        return true;
      case 'F':
        push_real(in_.line());
        return true;
      case 'I': {
        const std::string_view text = in_.line();
        if (text == "00" || text == "01") {
          push_boolean(text == "01");
        } else {
          push_decimal(text);
        }
        return true;
      }
      case 'L': {
        std::string_view text = in_.line();
        if (text.ends_with('L')) text.remove_suffix(1);
        push_decimal(text);
        return true;
      }
      default:
        return false;
    }
  }

  bool step_text(char opcode) {
    switch (opcode) {
      case 'X':
        push_text(Kind::text, in_.take(in_.number(4)));
        return true;  // unicode, 32-bit length
      case '\x8c':
        push_text(Kind::text, in_.take(in_.number(1)));
        return true;  // 8-bit
      case '\x8d':
        push_text(Kind::text, in_.take(in_.number(8)));
        return true;  // 64-bit
      case 'T':
        push_text(Kind::text, in_.take(in_.number(4)));
        return true;  // Python 2 strings: keys of old files
      case 'U':
        push_text(Kind::text, in_.take(in_.number(1)));
        return true;
      case 'B':
        push_text(Kind::bytes, in_.take(in_.number(4)));
        return true;
      case 'C':
        push_text(Kind::bytes, in_.take(in_.number(1)));
        return true;
      case '\x8e':
      case '\x96':
        push_text(Kind::bytes, in_.take(in_.number(8)));
        return true;  // bytes, bytearray
      case 'V':
        push_text(Kind::text, unescape(in_.line()));
        return true;
      case 'S': {
        const std::string_view text = in_.line();
        in_.check(text.size() >= 2 && text.front() == text.back() && (text[0] == '\'' || text[0] == '"'),
                  "a quoted string was expected");
        push_text(Kind::text, unescape(text.substr(1, text.size() - 2)));
        return true;
      }
      default:
        return false;
    }
  }

  bool step_container(char opcode) {
    switch (opcode) {
      case '}':
        push({.kind = Kind::dict});
        return true;
      case ']':
        push({.kind = Kind::list});
        return true;
      case ')':
        push({.kind = Kind::tuple});
        return true;
      case '\x8f':
        push({.kind = Kind::set});
        return true;
      case 'd': {
        std::vector<Id> pairs = pop_to_mark();
        in_.check(pairs.size() % 2 == 0, "a key without a value");
        push({.kind = Kind::dict, .pairs = std::move(pairs)});
        return true;
      }
      case 'l':
        push({.kind = Kind::list, .items = pop_to_mark()});
        return true;
      case 't':
        push({.kind = Kind::tuple, .items = pop_to_mark()});
        return true;
      case '\x91':
        push({.kind = Kind::set, .items = pop_to_mark()});
        return true;
      case '\x85':
        push({.kind = Kind::tuple, .items = pop_count(1)});
        return true;
      case '\x86':
        push({.kind = Kind::tuple, .items = pop_count(2)});
        return true;
      case '\x87':
        push({.kind = Kind::tuple, .items = pop_count(3)});
        return true;
      case 'a':
        extend(pop_count(1), Kind::list);
        return true;
      case 'e':
        extend(pop_to_mark(), Kind::list);
        return true;
      case '\x90':
        extend(pop_to_mark(), Kind::set);
        return true;
      case 's':
        set_items(pop_count(2));
        return true;
      case 'u':
        set_items(pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  bool step_stack(char opcode) {
    switch (opcode) {
      case '(':
        in_.check(marks_.size() < kMaxValues, "more than a million nested marks");
        marks_.push_back(stack_.size());
        return true;
      case '2':
        push_id(top());
        return true;
      case '1':
        pop_to_mark();
        return true;
      case '0':  // removes a mark when that is what lies on top
        if (!marks_.empty() && marks_.back() == stack_.size()) {
          marks_.pop_back();
        } else {
          pop();
        }
        return true;
      default:
        return false;
    }
  }

  bool step_memo(char opcode) {
    switch (opcode) {
      case 'p':
        remember(in_.decimal(in_.line()));
        return true;
      case 'q':
        remember(static_cast<std::int64_t>(in_.number(1)));
        return true;
      case 'r':
        remember(static_cast<std::int64_t>(in_.number(4)));
        return true;
      case '\x94':
        remember(static_cast<std::int64_t>(memo_.size()));
        return true;
      case 'g':
        recall(in_.decimal(in_.line()));
        return true;
      case 'h':
        recall(static_cast<std::int64_t>(in_.number(1)));
        return true;
      case 'j':
        recall(static_cast<std::int64_t>(in_.number(4)));
        return true;
      default:
        return false;
    }
  }

  // "module.name"; the length is limited because STACK_GLOBAL can name the same long text again and again.
  Value class_named(std::string_view module, std::string_view name) {
    in_.check(module.size() + name.size() < kMaxClassName, "the name of a class is too long");
    return {.kind = Kind::global, .text = fmt::format("{}.{}", module, name)};
  }
  Value class_of_lines() {
    const std::string_view module = in_.line();
    return class_named(module, in_.line());
  }

  bool step_object(char opcode) {
    switch (opcode) {
      case 'c':
        push(class_of_lines());
        return true;
      case '\x93': {
        const std::vector<Id> names = pop_count(2);
        in_.check(value(names[0]).kind == Kind::text && value(names[1]).kind == Kind::text, "a class without a name");
        push(class_named(value(names[0]).text, value(names[1]).text));
        return true;
      }
      case 'R':  // function(*args), class.__new__(class, *args)
      case '\x81': {
        const std::vector<Id> parts = pop_count(2);
        push({.kind = Kind::object, .callee = parts[0], .args = parts[1]});
        return true;
      }
      case '\x92': {  // keyword arguments are dropped
        const std::vector<Id> parts = pop_count(3);
        push({.kind = Kind::object, .callee = parts[0], .args = parts[1]});
        return true;
      }
      case 'i':
        return instance();
      case 'o': {
        std::vector<Id> items = pop_to_mark();
        in_.check(!items.empty(), "an object without a class");
        const Id callee = items.front();
        items.erase(items.begin());
        const Id args = add({.kind = Kind::tuple, .items = std::move(items)});
        push({.kind = Kind::object, .callee = callee, .args = args});
        return true;
      }
      case 'b': {
        const Id state = pop();
        Value& target = value(top());
        in_.check(target.kind == Kind::object, "a state for something that is no object");
        target.state = state;
        return true;
      }
      case 'Q': {
        const Id key = pop();
        push({.kind = Kind::persistent, .args = key});
        return true;
      }
      case 'P': {
        const Id key = add({.kind = Kind::text, .text = std::string(in_.line())});
        push({.kind = Kind::persistent, .args = key});
        return true;
      }
      default:
        return false;
    }
  }

  bool instance() {
    const Id callee = add(class_of_lines());
    const Id args = add({.kind = Kind::tuple, .items = pop_to_mark()});
    push({.kind = Kind::object, .callee = callee, .args = args});
    return true;
  }

  bool step_frame(char opcode) {
    switch (opcode) {
      case '\x80':
        in_.check(in_.number(1) <= 5, "a protocol above 5");
        return true;
      case '\x95':
        in_.number(8);
        return true;  // a frame is only a hint about how much to read ahead
      default:
        return false;
    }
  }
};

}  // namespace

Pickle read(std::span<const std::byte> bytes, std::size_t begin, const std::string& name) {
  require(begin <= bytes.size(), "{}: broken pickle: it starts behind the end of the file", name);
  return Machine(bytes.first(std::min(bytes.size(), begin + kMaxBytes)), begin, name).run();
}

std::string describe(const Pickle& pickle, Id id) {
  if (id == kNothing) return "nothing";
  const Value& value = pickle[id];
  switch (value.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return "a boolean";
    case Kind::integer:
    case Kind::big_integer:
      return "an integer";
    case Kind::real:
      return "a number";
    case Kind::text:
      return "a text";
    case Kind::bytes:
      return "bytes";
    case Kind::tuple:
      return "a tuple";
    case Kind::list:
      return "a list";
    case Kind::dict:
      return "a dict";
    case Kind::set:
      return "a set";
    case Kind::global:
      return fmt::format("the class {}", printable(value.text));
    case Kind::persistent:
      return "a storage";
    case Kind::object:
      break;
  }
  const bool named = value.callee != kNothing && pickle[value.callee].kind == Kind::global;
  return named ? fmt::format("an object of {}", printable(pickle[value.callee].text)) : "an object";
}

}  // namespace octet::pickle
