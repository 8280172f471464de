// The operators of sparse networks that ONNX lacks, in a domain of their own. sparse.md says what they mean, with the
// names, types and shapes of everything that goes in and out.
#pragma once

namespace octet::onnx {

// The domain of the operators below, and its version, which files import.
constexpr const char* kSparseDomain = "octet.sparse";
// The only one so far.
constexpr int kSparseVersion = 1;

constexpr const char* kSparseSites = "SparseSites";      // sites -> the sites that a convolution makes of them
constexpr const char* kSparseConv = "SparseConv";        // (features, sites in, sites out, weight, bias) -> features
constexpr const char* kSparseToDense = "SparseToDense";  // (features, sites, frames) -> [N, C * Z, Y, X]

// SparseConv's weight_layout, the only one: [O, kz, ky, kx, C], as spconv 2 has it.
constexpr const char* kWeightLayout = "OZYXI";

}  // namespace octet::onnx
