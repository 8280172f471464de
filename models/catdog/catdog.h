// The cat/dog classifier of the INT8 notebook: four conv-BN-ReLU-pool stages and two linear layers, 517,130 parameters.
// Input: 3 x 224 x 224, RGB, 0..255, no normalisation. Output: two logits, cat and dog.
#pragma once

#include "runtime/modules.h"

namespace octet::models {

// Written as its PyTorch original is; member names are the state dict's. The observers stand where the notebook's do:
// on the input, behind each ReLU (before the pool) and behind both linear layers.
struct CatDog {
  nn::Observer input{"input"};
  nn::Conv2d cnn1{"cnn1", 3, 16, 5};
  nn::BatchNorm2d bn1{"bn1", 16};
  nn::ReLU relu1{"relu1"};
  nn::Observer cv1{"cv1"};
  nn::MaxPool2d maxpool1{"maxpool1", 2, 2};

  nn::Conv2d cnn2{"cnn2", 16, 32, 5};
  nn::BatchNorm2d bn2{"bn2", 32};
  nn::ReLU relu2{"relu2"};
  nn::Observer cv2{"cv2"};
  nn::MaxPool2d maxpool2{"maxpool2", 2, 2};

  nn::Conv2d cnn3{"cnn3", 32, 16, 3};
  nn::BatchNorm2d bn3{"bn3", 16};
  nn::ReLU relu3{"relu3"};
  nn::Observer cv3{"cv3"};
  nn::MaxPool2d maxpool3{"maxpool3", 2, 2};

  nn::Conv2d cnn4{"cnn4", 16, 8, 3};
  nn::BatchNorm2d bn4{"bn4", 8};
  nn::ReLU relu4{"relu4"};
  nn::Observer cv4{"cv4"};
  nn::MaxPool2d maxpool4{"maxpool4", 2, 2};

  nn::Flatten flatten{"flatten"};
  nn::Linear fc1{"fc1", 8 * 11 * 11, 512};
  nn::Observer fc1_out{"fc1"};
  nn::Linear fc2{"fc2", 512, 2};
  nn::Observer fc2_out{"fc2"};

  EdgeId forward(Graph& g, EdgeId x) const {
    x = input(g, x);
    x = maxpool1(g, cv1(g, relu1(g, bn1(g, cnn1(g, x)))));
    x = maxpool2(g, cv2(g, relu2(g, bn2(g, cnn2(g, x)))));
    x = maxpool3(g, cv3(g, relu3(g, bn3(g, cnn3(g, x)))));
    x = maxpool4(g, cv4(g, relu4(g, bn4(g, cnn4(g, x)))));
    x = fc1_out(g, fc1(g, flatten(g, x)));  // no ReLU behind fc1: the notebook declares one and never calls it
    return fc2_out(g, fc2(g, x));
  }
};

Graph catdog();  // input [3, 224, 224], 0..255; output [2]; without weights

}  // namespace octet::models
