#include "reference.h"

namespace kc {
namespace binary {

void reference(const Geometry& g, const uint8_t* negative, const uint8_t* weights, int32_t* out) {
  const int32_t inputs = group_inputs(g);
  for (int32_t y = 0; y < g.out_h; ++y) {
    for (int32_t x = 0; x < g.out_w; ++x) {
      for (int32_t o = 0; o < g.out_c; ++o) {
        const int32_t group = o / group_filters(g);
        int32_t sum = 0;
        size_t bit = static_cast<size_t>(o) * taps(g) * inputs;
        for (int32_t ty = 0; ty < g.filter_h; ++ty) {
          for (int32_t tx = 0; tx < g.filter_w; ++tx) {
            const int32_t iy = y * g.stride_h - g.pad_top + ty * g.dilation_h;
            const int32_t ix = x * g.stride_w - g.pad_left + tx * g.dilation_w;
            const bool padding = iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w;
            for (int32_t i = 0; i < inputs; ++i, ++bit) {
              const int weight = weights[bit / 8] >> bit % 8 & 1 ? -1 : 1;
              int number = g.pad_with_ones;  // 1, or 0
              if (!padding) {
                const size_t pixel = static_cast<size_t>(iy) * g.in_w + ix;
                number = negative[pixel * g.in_c + group * inputs + i] ? -1 : 1;
              }
              sum += number * weight;
            }
          }
        }
        out[(static_cast<size_t>(y) * g.out_w + x) * g.out_c + o] = sum;
      }
    }
  }
}

}  // namespace binary
}  // namespace kc
