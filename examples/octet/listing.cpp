// octet models, octet kernels: what there is.
#include <fmt/format.h>
#include <map>

#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "kernels/registry.h"
#include "models/data_files.h"
#include "runtime/cpu.h"
#include "runtime/error.h"

namespace octet::cli {
namespace {

int list_models(bool as_json) {
  json all = json::array();
  examples::Table table({"model", "weights", "ranges", "what it is"});
  for (const models::ModelInfo& m : models::all_models()) {
    const bool weights = models::shipped_weights(m.name).has_value();
    const bool ranges = models::shipped_file(fmt::format("{}/ranges.json", m.name)).has_value();
    all.push_back({{"name", m.name},
                   {"summary", m.summary},
                   {"weights_shipped", weights},
                   {"ranges_shipped", ranges},
                   {"labels", m.labels}});
    table.add({m.name, weights ? "shipped" : "seeded", ranges ? "shipped" : "seeded", m.summary});
  }
  if (as_json) {
    print_json({{"models", all}});
  } else {
    fmt::print("{}", table.str());
  }
  return 0;
}

int list_kernels(bool as_json) {
  const kernels::Isa chosen = kernels::chosen_isa();
  json all = json::array();
  examples::Table table({"kernel", "operation", "instruction set", "this machine"});
  for (const kernels::Kernel* k : kernels::all_kernels()) {
    const bool can = kernels::supported(kernels::isa_of(*k));
    all.push_back({{"name", kernels::name_of(*k)}, {"op", k->op}, {"isa", k->isa}, {"supported", can}});
    table.add({kernels::name_of(*k), k->op, k->isa, can ? "runs it" : "lacks it"});
  }
  std::vector<std::string> isas;
  for (const kernels::Isa isa : kernels::available_isas()) isas.emplace_back(kernels::name_of(isa));
  if (as_json) {
    print_json(
        {{"kernels", all}, {"available", isas}, {"chosen", kernels::name_of(chosen)}, {"cpu", cpu_features().name}});
    return 0;
  }
  fmt::print("{}\n{}: levels {}; used: {} (OCTET_ISA chooses another)\n", table.str(), cpu_features().name,
             fmt::join(isas, ", "), kernels::name_of(chosen));
  return 0;
}

Command listing(CLI::App& app, const char* name, const char* what, int (*list)(bool)) {
  CLI::App* command = app.add_subcommand(name, what);
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "print JSON");
  return {command, [=] { return list(*as_json); }};
}

}  // namespace

Command add_models(CLI::App& app) { return listing(app, "models", "list the networks that Octet knows", list_models); }
Command add_kernels(CLI::App& app) {
  return listing(app, "kernels", "list every kernel variant of this build", list_kernels);
}

}  // namespace octet::cli
