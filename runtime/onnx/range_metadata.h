// What ONNX has no room for, in the file's metadata (key "octet.ranges"): which of their type's integers our quantised
// activations use. A symmetric edge of ours is [-127, 127]; QuantizeLinear alone may also give -128. One line an edge:
//
//     NAME LO HI [dead]
//
// NAME being the output of its QuantizeLinear, in which a space is written as \x20. And (key "octet.float") the layers
// without weights that stay in float although integers surround them: one name a line. And (key "octet.exact_sums")
// that sums' inputs have DequantizeLinears of their own, with rule 11's 16 bits in their scales: the integers behind
// them are those of the QuantizeLinear before.
#pragma once

#include <set>
#include <string>

#include "runtime/io/onnx_file.h"
#include "runtime/quant_params.h"

namespace octet::onnx {

// Narrows `quant` to what the metadata says of `name`. Throws Error when that is not within 8 bits and the type.
void apply_range_metadata(const Model& model, const std::string& name, QuantParams& quant);
// Adds a line.
void add_range_metadata(Model& model, const std::string& name, const QuantParams& quant);

void add_float_layer(Model& model, const std::string& layer);  // appends to the list
std::set<std::string> float_layers(const Model& model);        // that add_float_layer() noted

// Says that sums' inputs have scales of their own.
void mark_exact_sums(Model& model);
// Whether `scale` is the one that a sum's input of step `step` may have been given.
bool is_scale_of_sum(const Model& model, float scale, float step);

}  // namespace octet::onnx
