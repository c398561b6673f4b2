#include "reference.h"

#include <stdlib.h>

namespace kc {
namespace binary {

void reference(const Geometry& g, const uint8_t* negative, const uint8_t* weights, int32_t* out) {
  const int32_t inputs = group_inputs(g);
  // Numbers and weights as they are multiplied: -1, 0 or 1.
  const size_t image_size = static_cast<size_t>(g.in_h) * g.in_w * g.in_c;
  int8_t* image = static_cast<int8_t*>(malloc(image_size));
  int8_t* filters = static_cast<int8_t*>(malloc(weight_bits(g)));
  int8_t* padding = static_cast<int8_t*>(malloc(static_cast<size_t>(inputs)));
  if (image == nullptr || filters == nullptr || padding == nullptr) abort();
  for (size_t i = 0; i < image_size; ++i) image[i] = negative[i] ? -1 : 1;
  for (size_t i = 0; i < weight_bits(g); ++i) filters[i] = weights[i / 8] >> i % 8 & 1 ? -1 : 1;
  for (int32_t i = 0; i < inputs; ++i) padding[i] = static_cast<int8_t>(g.pad_with_ones);
  for (int32_t y = 0; y < g.out_h; ++y) {
    for (int32_t x = 0; x < g.out_w; ++x) {
      for (int32_t o = 0; o < g.out_c; ++o) {
        const int32_t group = o / group_filters(g);
        const int8_t* filter = filters + static_cast<size_t>(o) * taps(g) * inputs;
        int32_t sum = 0;
        for (int32_t ty = 0; ty < g.filter_h; ++ty) {
          for (int32_t tx = 0; tx < g.filter_w; ++tx, filter += inputs) {
            const int32_t iy = y * g.stride_h - g.pad_top + ty * g.dilation_h;
            const int32_t ix = x * g.stride_w - g.pad_left + tx * g.dilation_w;
            const bool outside = iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w;
            const int8_t* numbers =
                outside ? padding : image + (static_cast<size_t>(iy) * g.in_w + ix) * g.in_c + group * inputs;
            for (int32_t i = 0; i < inputs; ++i) sum += numbers[i] * filter[i];
          }
        }
        out[(static_cast<size_t>(y) * g.out_w + x) * g.out_c + o] = sum;
      }
    }
  }
  free(image);
  free(filters);
  free(padding);
}

}  // namespace binary
}  // namespace kc
