// octet: the command line. Exit status 0: done; 1: the input, a file or a model name is bad (one line on stderr says
// what, where and what was expected); 2: the command line itself is wrong.
#include <algorithm>

#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

int dispatch(int argc, char** argv) {
  CLI::App app{"Octet: INT8 inference from scratch"};
  app.require_subcommand(1);
  const Command commands[] = {add_run(app),   add_calibrate(app), add_evaluate(app), add_plan(app),   add_export(app),
                              add_bench(app), add_inspect(app),   add_models(app),   add_kernels(app)};
  std::vector<std::string> arguments = expand_config({argv + 1, argv + argc});
  try {
    std::ranges::reverse(arguments);  // CLI11 takes them from the back
    app.parse(arguments);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return 2;
}

}  // namespace
}  // namespace octet::cli

int main(int argc, char** argv) {
  return octet::examples::guarded("octet", [&] { return octet::cli::dispatch(argc, argv); });
}
