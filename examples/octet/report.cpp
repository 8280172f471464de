// octet report: ranges (and what else there is) as one HTML page.
#include <fmt/format.h>

#include "calib/report.h"
#include "examples/octet/cli.h"
#include "runtime/io/file.h"

namespace octet::cli {
namespace {

struct Options {
  std::string ranges, out;
  std::optional<std::string> sensitivity, summary;
  bool json = false;
};

int run(const Options& o) {
  const calib::Ranges ranges = calib::load_ranges(o.ranges);
  std::optional<calib::Sensitivity> sensitivity;
  std::optional<calib::Summary> summary;
  if (o.sensitivity) sensitivity = calib::load_sensitivity(*o.sensitivity);
  if (o.summary) summary = calib::load_summary(*o.summary);
  const std::string html = calib::report_html(ranges, sensitivity, summary);
  write_file_atomically(o.out, std::string_view(html));
  if (o.json) {
    print_json({{"out", o.out}, {"bytes", html.size()}, {"edges", ranges.edges.size()}});
  } else {
    fmt::print("{}: {} edges, {} bytes\n", o.out, ranges.edges.size(), html.size());
  }
  return 0;
}

}  // namespace

Command add_report(CLI::App& app) {
  CLI::App* command = app.add_subcommand("report", "ranges, sensitivity and summary as one HTML page");
  auto o = std::make_shared<Options>();
  command->add_option("--ranges", o->ranges, "ranges.json")->required();
  command->add_option("--sensitivity-json", o->sensitivity, "from octet sensitivity or octet ptq");
  command->add_option("--summary", o->summary, "summary.json of octet ptq");
  command->add_option("--out", o->out, "the page to write")->required();
  command->add_flag("--json", o->json, "print JSON");
  return {command, [o] { return run(*o); }};
}

}  // namespace octet::cli
