// octet: the command line. Exit status 0: done; 1: the input, a file or a model name is bad (one line on stderr says
// what, where and what was expected); 2: the command line itself is wrong.
#include <fmt/format.h>
#include <algorithm>
#include <span>

#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "examples/octet/ranks.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

constexpr const char* kFooter =
    "octet COMMAND --help explains a command.\n"
    "OCTET_ISA=reference|portable|... forces an instruction set (octet kernels lists them);\n"
    "OCTET_DATA=FOLDER is where shipped weights and ranges are looked for instead.\n"
    "Exit status: 0 done; 1 a file, the input or a model's name is bad; 2 the command line is wrong.";

// CLI11 says only "A subcommand is required" of a command that it does not know.
bool is_unknown(const std::string& name, std::span<const Command> commands) {
  return !name.starts_with("-") &&
         std::ranges::none_of(commands, [&](const Command& c) { return c.app->get_name() == name; });
}

// Under mpirun: a rank that fails says so in its own name and ends all of them.
int run_by_ranks(const Command& command) {
  if (!has_many_ranks()) return command.run();
  const std::string name = command.app->get_name();
  require(name == "calibrate" || name == "evaluate",
          "octet {} runs in one process; calibrate and evaluate share the "
          "work of several",
          name);
  Ranks& all = ranks();
  const std::string who = fmt::format("octet: rank {} of {}", all.rank(), all.size());
  const int status = examples::guarded(who.c_str(), command.run);
  if (status != 0) all.abort(status);
  return status;
}

int dispatch(int argc, char** argv) {
  CLI::App app{"Octet: INT8 inference from scratch", "octet"};
  app.require_subcommand(1);
  app.footer(kFooter);
  const Command commands[] = {add_run(app),     add_calibrate(app), add_evaluate(app),    add_plan(app),
                              add_export(app),  add_bench(app),     add_inspect(app),     add_models(app),
                              add_kernels(app), add_amax(app),      add_sensitivity(app), add_ptq(app),
                              add_report(app),  add_diff(app)};
  std::vector<std::string> arguments = expand_config({argv + 1, argv + argc});
  if (!arguments.empty() && is_unknown(arguments.front(), commands)) {
    fmt::print(stderr, "unknown command '{}'\nRun with --help for more information.\n", arguments.front());
    return 2;
  }
  try {
    std::ranges::reverse(arguments);  // CLI11 takes them from the back
    app.parse(arguments);
  } catch (const CLI::ParseError& e) {
    if (rank_in_environment() != 0) return 2;  // rank 0 says it for all
    return app.exit(e) == 0 ? 0 : 2;
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return run_by_ranks(command);
  }
  return 2;
}

}  // namespace
}  // namespace octet::cli

int main(int argc, char** argv) {
  return octet::examples::guarded("octet", [&] { return octet::cli::dispatch(argc, argv); });
}
