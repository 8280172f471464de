// octet amax: what every amax rule makes of the tensors in a file, so that anybody can check the rules against another
// tool. Tensors NAME.0, NAME.1, ... are the batches of one edge NAME, in that order.
#include <algorithm>
#include <charconv>
#include <map>

#include "calib/amax.h"
#include "examples/common/terminal.h"
#include "examples/octet/cli.h"
#include "runtime/error.h"
#include "runtime/io/safetensors.h"

namespace octet::cli {
namespace {

constexpr const char* kPercentiles[] = {"99.9", "99.99", "99.999"};

struct Options {
  std::string file;
  calib::AmaxOptions rule;
  int bins = 2048;
  bool json = false, quiet = false;
};

struct Batch {
  long number;  // 0 for a tensor whose name has none
  std::string tensor;
};

// The edges in the order of their names, each with its batches by number.
std::map<std::string, std::vector<Batch>> edges_of(const StateDict& tensors) {
  std::map<std::string, std::vector<Batch>> edges;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t dot = name.rfind('.');
    long number = 0;
    const char* const end = name.data() + name.size();
    const bool numbered = dot != std::string::npos && dot > 0 && dot + 1 < name.size() &&
                          std::from_chars(name.data() + dot + 1, end, number).ptr == end && number >= 0;
    edges[numbered ? name.substr(0, dot) : name].push_back({numbered ? number : 0, name});
  }
  for (auto& [edge, batches] : edges) std::ranges::sort(batches, {}, &Batch::number);
  return edges;
}

json amax_of(const std::string& edge, const std::vector<Batch>& batches, const StateDict& tensors, const Options& o) {
  calib::Histogram histogram(o.bins);
  for (const Batch& batch : batches) {
    try {
      const Tensor values = tensors.at(batch.tensor).to_f32();
      histogram.observe(values.span<float>());
    } catch (const Error& e) {
      fail("{}: tensor '{}': {}", o.file, batch.tensor, e.what());
    }
  }
  json percentiles = json::object();
  for (const char* percent : kPercentiles) {
    calib::AmaxOptions rule = o.rule;
    rule.percentile = std::strtod(percent, nullptr);
    percentiles[percent] = choose_amax(histogram, calib::Rule::percentile, rule);
  }
  require(histogram.count() > 0, "{}: '{}' holds no value", o.file, edge);
  return {{"max", choose_amax(histogram, calib::Rule::max, o.rule)},
          {"entropy", choose_amax(histogram, calib::Rule::entropy, o.rule)},
          {"mse", choose_amax(histogram, calib::Rule::mse, o.rule)},
          {"percentile", percentiles},
          {"bin_width", histogram.width()}};
}

int run(const Options& o) {
  const SafetensorsFile file = read_safetensors(o.file);
  const auto edges = edges_of(file.tensors);
  require(!edges.empty(), "{}: no tensor in it", o.file);
  json all = json::object();
  examples::ProgressBar progress("tensors", o.quiet);
  for (const auto& [edge, batches] : edges) {
    all[edge] = amax_of(edge, batches, file.tensors, o);
    progress.update(static_cast<std::int64_t>(all.size()), static_cast<std::int64_t>(edges.size()));
  }
  if (o.json) {
    print_json(all);
    return 0;
  }
  const auto number = [](const json& v) { return fmt::format("{:.7g}", v.get<float>()); };
  examples::Table table({"tensor", "batches", "max", "entropy", "mse", "99.9 %", "99.99 %", "99.999 %", "bin width"});
  for (const auto& [edge, batches] : edges) {
    const json& a = all[edge];
    const json& p = a["percentile"];
    table.add({edge, std::to_string(batches.size()), number(a["max"]), number(a["entropy"]), number(a["mse"]),
               number(p[kPercentiles[0]]), number(p[kPercentiles[1]]), number(p[kPercentiles[2]]),
               number(a["bin_width"])});
  }
  fmt::print("{}", table.str());
  return 0;
}

}  // namespace

Command add_amax(CLI::App& app) {
  CLI::App* command = app.add_subcommand("amax", "what every amax rule makes of the tensors in a file");
  auto o = std::make_shared<Options>();
  command->add_option("FILE", o->file, ".safetensors; NAME.0, NAME.1, ... are the batches of one edge")->required();
  command->add_option("--num-bits", o->rule.num_bits, "of the quantiser")
      ->check(CLI::Range(2, 16))
      ->capture_default_str();
  command->add_flag("--unsigned", o->rule.is_unsigned, "the quantiser has no negative levels");
  command->add_option("--stride", o->rule.stride, "entropy and mse try every Nth candidate")->check(at_least(1));
  command->add_option("--start-bin", o->rule.start_bin, "their first candidate")
      ->check(CLI::Range(1, calib::Histogram::kMaxBins))
      ->capture_default_str();
  command->add_option("--bins", o->bins, "of the first batch's histogram")
      ->check(CLI::Range(2, calib::Histogram::kMaxBins))
      ->capture_default_str();
  command->add_flag("--json", o->json, "print JSON");
  command->add_flag("--quiet", o->quiet, "no progress");
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
