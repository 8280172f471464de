#include "examples/common/lesson.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <span>

#include "examples/common/terminal.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace octet::examples {
namespace {

void check_finite(const std::string& flag, std::span<const float> values) {
  for (const float v : values) require(std::isfinite(v), "{}: {} is not a finite number", flag, v);
}

// A list is one argument, 1,2,3: "-1,2" after the flag is a value, not another flag.
void as_list(CLI::Option* option) {
  option->delimiter(',')->allow_extra_args(false)->check(CLI::Number)->type_name("A,B,...");
}

}  // namespace

struct Lesson::State {
  State(const char* program, const char* summary) : name(program), app(summary, program) {}

  const char* name;
  CLI::App app;
  std::vector<std::function<void()>> checks;
  std::function<Svg()> draw;
  std::string svg;
};

Lesson::Lesson(const char* name, const char* summary) : state_(std::make_unique<State>(name, summary)) {}
Lesson::~Lesson() = default;

void Lesson::option(const char* flag, float& target, const char* what) {
  state_->app.add_option(flag, target, what)->capture_default_str();
  state_->checks.push_back([flag, &target] { check_finite(flag, {&target, 1}); });
}

void Lesson::option(const char* flag, int& target, const char* what) {
  state_->app.add_option(flag, target, what)->capture_default_str();
}

void Lesson::option(const char* flag, std::vector<float>& target, const char* what) {
  as_list(state_->app.add_option(flag, target, what));
  state_->checks.push_back([flag, &target] { check_finite(flag, target); });
}

void Lesson::option(const char* flag, std::vector<int>& target, const char* what) {
  as_list(state_->app.add_option(flag, target, what));
}

void Lesson::argument(const char* name, std::string& target, const char* what) {
  state_->app.add_option(name, target, what);
}

void Lesson::picture(std::function<Svg()> draw) {
  state_->draw = std::move(draw);
  state_->app.add_option("--svg", state_->svg, "write a picture to this file")->type_name("FILE");
}

int Lesson::run(int argc, char** argv, const std::function<void()>& body) {
  try {
    state_->app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return state_->app.exit(e) == 0 ? 0 : 2;
  }
  return guarded(state_->name, [&] {
    for (const auto& check : state_->checks) check();
    body();
    if (!state_->svg.empty()) write_file_atomically(state_->svg, std::string_view(state_->draw().str()));
    return 0;
  });
}

}  // namespace octet::examples
