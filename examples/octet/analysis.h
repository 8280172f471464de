// What `octet sensitivity` and `octet ptq` share: photos that score, and an analysis that goes on where an interrupted
// one stopped.
#pragma once

#include "calib/sensitivity.h"
#include "examples/octet/cli.h"
#include "models/measure.h"

namespace octet::cli {

std::vector<models::Photo> list_scored(const models::LoadedModel& model, const std::filesystem::path& folder,
                                       const std::optional<std::string>& labels, std::int64_t skip, std::int64_t limit);
models::PreparedPhotos prepare_photos(const Common& common, const models::LoadedModel& model,
                                      const std::vector<models::Photo>& photos);

// Writes `out` after every layer. When `out` holds an analysis of the same network, ranges, mode and photos, what it
// has measured is kept.
calib::Sensitivity analyse_resumably(const Common& common, const Graph& graph, const calib::Ranges& ranges,
                                     const calib::Measure& measure, calib::SensitivityMode mode, bool blocks,
                                     const std::vector<models::Photo>& photos, const std::filesystem::path& out);

std::string sensitivity_table(const calib::Sensitivity& sensitivity, int top);

}  // namespace octet::cli
