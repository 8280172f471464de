// TensorProto to Tensor: every way in which ONNX stores numbers (raw bytes, typed lists, a file beside the model), with
// the shape checked against what is really there before memory is taken.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "octet_onnx.pb.h"
#include "runtime/io/file.h"
#include "runtime/tensor.h"

namespace octet::onnx {

class TensorReader {
 public:
  TensorReader(std::filesystem::path folder, std::string where)
      : folder_(std::move(folder)), where_(std::move(where)) {}

  // f32, f64, f16, s8, u8, s32, s64 as they are; bool as u8. Throws Error naming the tensor.
  Tensor read(const ::onnx::TensorProto& proto) const;

 private:
  Tensor external(const ::onnx::TensorProto& proto, DType type, const Shape& shape) const;

  std::filesystem::path folder_;
  std::string where_;
  mutable std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

}  // namespace octet::onnx
