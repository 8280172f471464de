// The command line's shared parts: options that every command takes, and how a command turns them into a model.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "calib/calibrate.h"
#include "models/classifier.h"

namespace octet::cli {

using json = nlohmann::ordered_json;  // keys stay in the order in which a command writes them

// The design's "common" and "image" flags.
struct Common {
  std::string model;
  std::optional<std::string> weights, ranges, names;
  std::string precision, device = "auto", activation;
  int threads = 0;  // 0: all
  int batch_size = 8;
  std::int64_t skip = 0, limit = -1;
  std::optional<std::uint64_t> seed;
  bool json = false, quiet = false;
  std::optional<std::string> centerpoint;  // its configuration: JSON, or a file of it

  std::optional<int> resize, crop;
  std::string filter, mean, std;
  std::optional<int> label_offset;
};

// Adds MODEL and the flags above to a command.
void add_common(CLI::App& app, Common& common);
// The image flags, for commands that read photos.
void add_image_flags(CLI::App& app, Common& common);

models::LoadOptions load_options(const Common& common);
// Loads the model, applies the image flags, prints notes on stderr (unless --quiet), and checks --device.
models::LoadedModel load(const Common& common, const calib::QuantiseOptions& quantise = {});
models::LoadedModel load_float(const Common& common);
// Throws Error for a model with seeded weights when --seed did not ask for them: `doing` ("calibrating") is without
// meaning there, and --weights may have been forgotten.
void require_weights(const Common& common, const models::LoadedModel& model, std::string_view doing);
inline std::uint64_t seed_of(const Common& common) { return common.seed.value_or(1); }
// For options that count something: "--limit: 0: a whole number of at least 1 was expected".
CLI::Validator at_least(std::int64_t least);
std::unique_ptr<ThreadPool> make_pool(const Common& common);
// What --device says: a CUDA device, or none for the CPU. "auto" takes a device when there is a usable one that has a
// kernel for all of the model.
std::optional<Gpu> gpu_of(const Common& common, const models::LoadedModel& model);
// The options of a plan for this model on that device.
kernels::PlanOptions plan_options(const Common& common, const models::LoadedModel& model, int batch);
void note(const Common& common, const std::string& text);  // one line on stderr unless --quiet

std::string counted(std::int64_t count, const std::string& noun);  // "1 photo", "2 photos"
// "These are the photos that calibrated the model" or "3 of these photos ..."; empty when none did.
std::string overlap_note(std::int64_t overlap, std::int64_t count, const char* noun);

void print_json(const json& value);

// What the network reads, for people: how a photo is prepared, or the grid of a LiDAR frame.
std::string describe_input(const models::LoadedModel& model);

// Replaces `--config F.json` by the flags in that file ({"batch-size": 8, "json": true, "ignore": ["cnn1", "fc2"]});
// flags given on the command line win. Throws Error.
std::vector<std::string> expand_config(std::vector<std::string> arguments);

// Each command adds itself: a CLI::App with options, and what runs when it was chosen.
using Run = std::function<int()>;
struct Command {
  CLI::App* app;
  Run run;
};
Command add_models(CLI::App& app);
Command add_kernels(CLI::App& app);
Command add_inspect(CLI::App& app);
Command add_run(CLI::App& app);
Command add_calibrate(CLI::App& app);
Command add_evaluate(CLI::App& app);
Command add_plan(CLI::App& app);
Command add_export(CLI::App& app);
Command add_bench(CLI::App& app);
Command add_amax(CLI::App& app);
Command add_sensitivity(CLI::App& app);
Command add_ptq(CLI::App& app);
Command add_report(CLI::App& app);
Command add_diff(CLI::App& app);

}  // namespace octet::cli
