#include "models/preprocess.h"

#include <fmt/format.h>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/error.h"

namespace octet::models {

using nlohmann::json;

std::string Preprocess::str() const {
  const char* name = filter == Filter::bicubic ? "bicubic" : "bilinear";
  std::string text = resize == 0 ? fmt::format("resize to {0}x{0} ({1})", crop, name)
                                 : fmt::format("shorter side to {} ({}), centre {}x{}", resize, name, crop, crop);
  const bool plain = mean == std::array<float, 3>{0, 0, 0} && std == std::array<float, 3>{1, 1, 1};
  if (plain) return text + ", values 0..255";
  return text + fmt::format(", (p - [{:g}]) / [{:g}]", fmt::join(mean, ", "), fmt::join(std, ", "));
}

void preprocess(const Image& image, const Preprocess& how, std::span<std::uint8_t> out) {
  const Image sized = how.resize == 0
                          ? resize(image, how.crop, how.crop, how.filter)
                          : centre_crop(resize_shorter_side(image, how.resize, how.filter), how.crop, how.crop);
  require(sized.pixels.bytes() == out.size(), "a photo of {} bytes for an input of {}", sized.pixels.bytes(),
          out.size());
  std::memcpy(out.data(), sized.pixels.raw(), out.size());
}

std::string to_json(const Preprocess& how) {
  return json{
      {"resize", how.resize}, {"crop", how.crop}, {"filter", how.filter == Filter::bicubic ? "bicubic" : "bilinear"},
      {"mean", how.mean},     {"std", how.std},   {"label_offset", how.label_offset}}
      .dump();
}

Preprocess preprocess_from_json(const std::string& text) {
  try {
    const json j = json::parse(text);
    Preprocess how;
    how.resize = j.at("resize").get<int>(), how.crop = j.at("crop").get<int>();
    how.filter = j.at("filter") == "bilinear" ? Filter::bilinear : Filter::bicubic;
    how.mean = j.at("mean").get<std::array<float, 3>>(), how.std = j.at("std").get<std::array<float, 3>>();
    how.label_offset = j.at("label_offset").get<int>();
    require(how.resize >= 0 && how.crop > 0, "sizes of {} and {}", how.resize, how.crop);
    for (const float s : how.std) require(std::isfinite(s) && s != 0, "a standard deviation of {}", s);
    return how;
  } catch (const json::exception& e) {
    fail("not a valid preprocessing: {}", e.what());
  }
}

}  // namespace octet::models
