// report.html: one page without anything outside of itself (inline CSS and SVG, no script). From ranges: per edge its
// histogram with every rule's amax drawn on it. From a sensitivity analysis: the ranking. From a summary: accuracy,
// sizes, noise by edge, plan.
#pragma once

#include <optional>
#include <string>

#include "calib/ranges.h"
#include "calib/sensitivity.h"
#include "calib/summary.h"

namespace octet::calib {

// Equal inputs give equal bytes. Throws Error when the parts are of different models.
std::string report_html(const Ranges& ranges, const std::optional<Sensitivity>& sensitivity = std::nullopt,
                        const std::optional<Summary>& summary = std::nullopt);

// Where a histogram drawing puts the value x: pixels from its left edge. The test looks there for the rules' lines.
double report_x(const EdgeRange& edge, double x);

}  // namespace octet::calib
