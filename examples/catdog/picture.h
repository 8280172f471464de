// What catdog said of each photo, as one picture: a bar to the left for a cat, to the right for a dog, as long as the
// score; FP32 above INT8.
#pragma once

#include <string>
#include <vector>

namespace octet::examples {

struct Prediction {
  std::string photo;
  double fp32 = 0, int8 = 0;  // the score of "dog", 0 to 1; the rest is the cat's
};

std::string predictions_svg(const std::vector<Prediction>& predictions);

}  // namespace octet::examples
