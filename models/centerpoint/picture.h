// A frame seen from above: points coloured by height, boxes by class with a line towards their heading, true boxes
// dashed (SVG) or thin and white (PNG). The x axis (ahead) points up, as people hold a map.
#pragma once

#include <filesystem>
#include <vector>

#include "models/centerpoint/annotations.h"
#include "models/centerpoint/boxes.h"

namespace octet::models {

struct Picture {  // what save_picture() draws
  CenterPointConfig config;
  Tensor points;  // f32 [n, 5]
  std::vector<Box> boxes;
  std::vector<Annotation> truth;
  int pixels = 1080;  // a side of the longer axis
};

// By the name's end, .svg or .png. Throws Error for another one.
void save_picture(const Picture& picture, const std::filesystem::path& path);
// Before long work: throws Error unless `path` is a name that save_picture() can write.
void check_picture_name(const std::filesystem::path& path);

}  // namespace octet::models
