// From a photo to a network's input: sizes, crop, filter, and the normalisation (p - mean) / std.
#pragma once

#include <array>
#include <span>
#include <string>

#include "kernels/plan/plan.h"
#include "runtime/io/resize.h"

namespace octet::models {

struct Preprocess {  // pixels are 0..255 before mean and std
  int resize = 0;    // 0: the photo is resized to crop x crop whatever its shape; else its shorter side becomes this
  int crop = 224;    // then the centre crop x crop is taken
  Filter filter = Filter::bicubic;
  std::array<float, 3> mean{0, 0, 0};
  std::array<float, 3> std{1, 1, 1};
  int label_offset = 0;  // the output index of class 0 (1 where index 0 is "background")

  kernels::PlanOptions::Photo photo() const { return {mean, std}; }
  std::string str() const;  // one line for people: "resize 224x224 (bicubic), 0..255"
};

// Writes crop * crop * 3 bytes, RGB, rows from the top.
void preprocess(const Image& image, const Preprocess& how, std::span<std::uint8_t> out);

// Stored in .octet files under the metadata key "preprocess".
std::string to_json(const Preprocess& how);
Preprocess preprocess_from_json(const std::string& text);  // throws Error

}  // namespace octet::models
