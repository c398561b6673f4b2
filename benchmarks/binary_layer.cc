// Runs one binary convolution, floats in and out, as often as it is told: to count its instructions.
//   binary_layer SIZE CHANNELS KERNEL RUNS
#include "convolution.h"

#include <math.h>
#include <stdlib.h>

#include <vector>

using namespace kc::binary;

int main(int count, char** arguments) {
  if (count != 5) return 2;
  Geometry g = {};
  g.in_h = g.in_w = atoi(arguments[1]);
  g.in_c = g.out_c = atoi(arguments[2]);
  g.filter_h = g.filter_w = atoi(arguments[3]);
  g.stride_h = g.stride_w = g.dilation_h = g.dilation_w = g.groups = 1;
  pad_same(&g);
  if (complete(&g) != nullptr) return 2;
  std::vector<uint8_t> weights(weight_bits(g) / 8 + 1);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<uint8_t>(i * 167);
  std::vector<float> scale(g.out_c, 0.5f), bias(g.out_c, 1.0f);
  Settings s = {};
  s.geometry = g;
  s.input = Input::kFloat;
  s.result = Result::kFloat;
  s.weights = weights.data();
  s.scale = scale.data();
  s.bias = bias.data();
  s.low = -HUGE_VALF;
  s.high = HUGE_VALF;
  const char* problem = nullptr;
  Convolution* convolution = new_convolution(s, best_kernels(), new_pool(1), &problem);
  if (convolution == nullptr) return 1;
  const size_t numbers = static_cast<size_t>(g.in_h) * g.in_w * g.in_c;
  std::vector<float> in(numbers), out(numbers);
  for (size_t i = 0; i < numbers; ++i) in[i] = static_cast<float>(i * 37 % 11) - 5;
  for (int run = 0; run < atoi(arguments[4]); ++run) convolve(convolution, in.data(), out.data());
  return 0;
}
