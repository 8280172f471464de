// The cases of bench_cuda: layers of real networks (each distinct convolution of ResNet50 and MobileNetV2, all of
// cat/dog's), the goals' shapes, and odd ones.
#pragma once

inline std::vector<Shape> all_shapes() {
  std::vector<Shape> all;
  const auto conv = [&](std::string name, int n, int h, int w, int c, int out_c, Window window) {
    all.push_back({.name = std::move(name), .n = n, .h = h, .w = w, .c = c, .out_c = out_c, .window = window});
  };
  const auto linear = [&](std::string name, int n, int c, int out_c) {
    all.push_back(
        {.name = std::move(name), .linear = true, .n = n, .h = 1, .w = 1, .c = c, .out_c = out_c, .window = {}});
  };
  for (const int size : {4096, 8192, 16384}) linear("goal/gemm" + std::to_string(size), size, size, size);
  conv("goal/conv180", 1, 180, 180, 128, 128, Window::square(3, 1, 1));
  conv("goal/conv90", 1, 90, 90, 256, 256, Window::square(3, 1, 1));

  struct Layer {
    int size, c, out_c;
    Window window;
  };
  const Window one = Window::square(1), one2 = Window::square(1, 2), three = Window::square(3, 1, 1),
               three2 = Window::square(3, 2, 1);
  const Layer resnet[] = {{224, 3, 64, Window::square(7, 2, 3)},
                          {56, 64, 64, one},
                          {56, 64, 64, three},
                          {56, 64, 256, one},
                          {56, 256, 64, one},
                          {56, 256, 128, one},
                          {56, 128, 128, three2},
                          {28, 128, 512, one},
                          {56, 256, 512, one2},
                          {28, 512, 128, one},
                          {28, 128, 128, three},
                          {28, 512, 256, one},
                          {28, 256, 256, three2},
                          {14, 256, 1024, one},
                          {28, 512, 1024, one2},
                          {14, 1024, 256, one},
                          {14, 256, 256, three},
                          {14, 1024, 512, one},
                          {14, 512, 512, three2},
                          {7, 512, 2048, one},
                          {14, 1024, 2048, one2},
                          {7, 2048, 512, one},
                          {7, 512, 512, three}};
  const Layer mobilenet[] = {{224, 3, 32, three2}, {112, 32, 16, one}, {112, 16, 96, one}, {56, 96, 24, one},
                             {56, 24, 144, one},   {56, 144, 24, one}, {28, 144, 32, one}, {28, 32, 192, one},
                             {28, 192, 32, one},   {14, 192, 64, one}, {14, 64, 384, one}, {14, 384, 64, one},
                             {14, 384, 96, one},   {14, 96, 576, one}, {14, 576, 96, one}, {7, 576, 160, one},
                             {7, 160, 960, one},   {7, 960, 160, one}, {7, 960, 320, one}, {7, 320, 1280, one}};
  const auto add = [&](const char* net, int batch, const Layer& l) {
    const Window& w = l.window;
    conv(std::string(net) + "/b" + std::to_string(batch) + " " + std::to_string(l.size) + " k" +
             std::to_string(w.kernel_h) + "s" + std::to_string(w.stride_h) + " " + std::to_string(l.c) + "-" +
             std::to_string(l.out_c),
         batch, l.size, l.size, l.c, l.out_c, w);
  };
  for (const int batch : {1, 64}) {
    for (const Layer& l : resnet) add("resnet50", batch, l);
    linear("resnet50/b" + std::to_string(batch) + " fc", batch, 2048, 1000);
    for (const Layer& l : mobilenet) add("mobilenet_v2", batch, l);
    linear("mobilenet_v2/b" + std::to_string(batch) + " fc", batch, 1280, 1001);
    const Layer catdog[] = {{224, 3, 16, Window::square(5)},
                            {110, 16, 32, Window::square(5)},
                            {53, 32, 16, Window::square(3)},
                            {25, 16, 8, Window::square(3)}};
    for (const Layer& l : catdog) {
      add("catdog", batch, l);
      add("catdog-pool", batch, l);
      all.back().pool = true;
    }
    all.push_back({.name = "catdog/b" + std::to_string(batch) + " fc1",
                   .linear = true,
                   .n = batch,
                   .h = 11,
                   .w = 11,
                   .c = 8,
                   .out_c = 512,
                   .window = {}});
    linear("catdog/b" + std::to_string(batch) + " fc2", batch, 512, 2);
  }

  // Odd shapes: a fixed sequence of random ones.
  std::mt19937 random(7);
  const auto between = [&](int lo, int hi) {
    return lo + static_cast<int>(random() % static_cast<unsigned>(hi - lo + 1));
  };
  const int depths[] = {3, 4, 8, 16, 17, 32, 48, 64, 100, 128, 130, 192, 256, 272};
  for (int i = 0; i < 60; ++i) {
    Shape s{.name = "odd/" + std::to_string(i),
            .n = between(1, 3),
            .h = between(5, 40),
            .w = between(5, 40),
            .c = depths[between(0, 13)],
            .out_c = between(1, 200),
            .window = {}};
    Window& w = s.window;
    w.kernel_h = between(1, 5), w.kernel_w = between(1, 5);
    w.stride_h = between(1, 3), w.stride_w = between(1, 3);
    if (between(0, 3) == 0) w.dilation_h = between(1, 2), w.dilation_w = between(1, 2);
    if (between(0, 2) > 0) {
      w.pad_top = between(0, w.kernel_h - 1), w.pad_bottom = between(0, w.kernel_h - 1);
      w.pad_left = between(0, w.kernel_w - 1), w.pad_right = between(0, w.kernel_w - 1);
    }
    if (s.h < w.span_h() || s.w < w.span_w()) w.dilation_h = w.dilation_w = 1;
    s.is_unsigned = between(0, 1) == 1, s.odd = true;
    if (i % 4 == 3) {
      s.pool = (s.h + w.pad_top + w.pad_bottom - w.span_h()) / w.stride_h >= 1 &&
               (s.w + w.pad_left + w.pad_right - w.span_w()) / w.stride_w >= 1;
    }
    if (i % 10 == 9) {
      s.linear = true, s.pool = false, s.window = {}, s.n = between(1, 70), s.h = between(1, 4), s.w = between(1, 4);
    }
    all.push_back(s);
  }
  return all;
}
