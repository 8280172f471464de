// The one way the library reports a failure: an exception with one formatted line that says what was wrong, where, and
// what was expected. The library never prints, exits or aborts; the programs catch Error, print it and exit with 1.
// Not for .cu files or what they include: fmt does not compile there.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <utility>

namespace octet {

// The input is bad: a file, a photo, a model name, ranges of another network. what() is one complete line.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {  // throws Error
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws unless `condition` holds. The arguments are formatted only on failure.
template <class... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]]
    throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace octet
