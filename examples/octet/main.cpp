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

struct Entry {
  std::string_view name;
  Command (*add)(CLI::App& app);
};
constexpr Entry kCommands[] = {{"run", add_run},
                               {"calibrate", add_calibrate},
                               {"evaluate", add_evaluate},
                               {"plan", add_plan},
                               {"export", add_export},
                               {"bench", add_bench},
                               {"inspect", add_inspect},
                               {"models", add_models},
                               {"kernels", add_kernels},
                               {"amax", add_amax},
                               {"sensitivity", add_sensitivity},
                               {"ptq", add_ptq},
                               {"report", add_report},
                               {"diff", add_diff}};

// The flags of one command are described to CLI11, not those of all of them: that takes longer than a photo.
std::vector<Command> add_commands(CLI::App& app, std::string_view named) {
  const auto* entry = std::ranges::find(kCommands, named, &Entry::name);
  if (entry != std::end(kCommands)) return {entry->add(app)};
  std::vector<Command> all;
  for (const Entry& e : kCommands) all.push_back(e.add(app));
  return all;
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
  const std::vector<std::string> given(argv + 1, argv + argc);
  std::vector<std::string> arguments = expand_config(given);
  const bool has_config = arguments != given;
  const std::string first = arguments.empty() ? "" : arguments.front();
  const std::vector<Command> commands = add_commands(app, first);
  // CLI11 says only "A subcommand is required" of a command that it does not know.
  if (commands.size() > 1 && !first.empty() && !first.starts_with("-")) {
    fmt::print(stderr, "unknown command '{}'\nRun with --help for more information.\n", first);
    return 2;
  }
  try {
    std::ranges::reverse(arguments);  // CLI11 takes them from the back
    app.parse(arguments);
  } catch (const CLI::ParseError& e) {
    if (rank_in_environment() != 0) return 2;  // rank 0 says it for all
    const int status = app.exit(e) == 0 ? 0 : 2;
    if (status != 0 && has_config) fmt::print(stderr, "Some of the flags come from the --config file.\n");
    return status;
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
