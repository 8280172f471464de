// The operators of sparse networks that ONNX lacks, in a domain of their own. sparse.md says what they mean, with the
// names, types and shapes of everything that goes in and out.
#pragma once

namespace octet::onnx {

constexpr const char* kSparseDomain = "octet.sparse";
constexpr int kSparseVersion = 1;

constexpr const char* kSparseSites = "SparseSites";      // sites -> the sites that a convolution makes of them
constexpr const char* kSparseConv = "SparseConv";        // (features, sites in, sites out, weight, bias) -> features
constexpr const char* kSparseToDense = "SparseToDense";  // (features, sites, frames) -> [N, C * Z, Y, X]

constexpr const char* kWeightLayout = "OZYXI";

}  // namespace octet::onnx
