// What `octet sensitivity` and `octet ptq` share: data that scores, and an analysis that goes on where an interrupted
// one stopped.
#pragma once

#include "calib/sensitivity.h"
#include "examples/octet/cli.h"
#include "models/dataset.h"

namespace octet::cli {

std::unique_ptr<models::Dataset> open_scored(const models::LoadedModel& model, const std::filesystem::path& folder,
                                             const std::optional<std::string>& labels, std::int64_t skip,
                                             std::int64_t limit);
std::unique_ptr<models::Scorer> make_scorer(const Common& common, const models::LoadedModel& model,
                                            const models::Dataset& data, ThreadPool& pool);
// Of the network (its name, layers, options and weights) and of how it reads a sample.
std::string model_hash(const models::LoadedModel& model);
// Of every file's name and bytes, in order (two files that changed places are other data), and of what is known of
// them.
std::string data_hash(const models::Dataset& data);

// Writes `out` after every layer. When `out` holds an analysis of the same network, weights, ranges, mode and data,
// what it has measured is kept.
calib::Sensitivity analyse_resumably(const Common& common, const models::LoadedModel& model,
                                     const calib::Ranges& ranges, models::Scorer& scorer, calib::SensitivityMode mode,
                                     bool blocks, const models::Dataset& data, const std::filesystem::path& out);

std::string sensitivity_table(const calib::Sensitivity& sensitivity, int top);

}  // namespace octet::cli
