// Layers in the manner of torch.nn, so that a model's definition reads as its PyTorch original does: members with the
// state dict's names, called one after another in forward(). Calling one appends nodes to the Graph.
#pragma once

#include <string>
#include <utility>

#include "runtime/graph.h"

namespace octet::nn {

struct Conv2d {  // [in, H, W] -> [out, H', W']
  std::string name;
  int in, out;
  ConvOptions options;

  // In the order of PyTorch's arguments; the kernel, the stride and the padding are square.
  Conv2d(std::string name, int in, int out, int kernel, int stride = 1, int pad = 0, int groups = 1, bool bias = true)
      : name(std::move(name)), in(in), out(out), options{Window::square(kernel, stride, pad), groups, bias} {}
  EdgeId operator()(Graph& graph, EdgeId x) const { return graph.conv2d(name, x, out, options); }
};

struct BatchNorm2d {  // of `channels` channels, eps 1e-5
  std::string name;
  int channels;
  float eps = 1e-5f;
  EdgeId operator()(Graph& graph, EdgeId x) const { return graph.batch_norm(name, x, eps); }
};

struct ReLU {  // any shape
  std::string name;
  EdgeId operator()(Graph& graph, EdgeId x) const { return graph.relu(name, x); }
};

struct MaxPool2d {  // padding is excluded
  std::string name;
  int kernel, stride;
  EdgeId operator()(Graph& graph, EdgeId x) const { return graph.max_pool(name, x, Window::square(kernel, stride)); }
};

struct Flatten {  // [C, H, W] -> [C * H * W]
  std::string name;
  EdgeId operator()(Graph& graph, EdgeId x) const { return graph.flatten(name, x); }
};

struct Linear {  // [in] -> [out], with a bias
  std::string name;
  int in, out;
  EdgeId operator()(Graph& graph, EdgeId x) const { return graph.linear(name, x, out); }
};

// Not a computation: marks the edge whose range calibration records under this name.
struct Observer {
  std::string name;
  EdgeId operator()(Graph& graph, EdgeId x) const { return graph.observe(x, name); }
};

}  // namespace octet::nn
