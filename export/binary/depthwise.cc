#include "depthwise.h"

#include <string.h>

namespace kc {
namespace binary {

namespace {

constexpr int kPlanes = 28;  // no more taps than that fit a geometry

// Eight bits as eight bytes of 0 or 1.
inline uint64_t spread(uint32_t byte) {
  const uint64_t apart = byte * 0x0101010101010101u & 0x8040201008040201u;
  return (apart + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
}

}  // namespace

void arrange_depthwise(const Geometry& g, const uint8_t* weights, uint32_t* out) {
  const int32_t words = words_of(g.in_c), count = taps(g), multiplier = group_filters(g);
  size_t bit = 0;
  for (int32_t c = 0; c < g.in_c; ++c) {
    for (int32_t m = 0; m < multiplier; ++m) {
      for (int32_t t = 0; t < count; ++t, ++bit) {
        const uint32_t negative = weights[bit / 8] >> bit % 8 & 1;
        out[(static_cast<size_t>(m) * count + t) * words + c / 32] |= negative << c % 32;
      }
    }
  }
}

void depthwise_row(const Geometry& g, const uint32_t* image, const uint32_t* filters, int32_t y,
                   int32_t* dots) {
  const int32_t words = words_of(g.in_c), multiplier = group_filters(g);
  for (int32_t x = 0; x < g.out_w; ++x) {
    for (int32_t m = 0; m < multiplier; ++m) {
      for (int32_t word = 0; word < words; ++word) {
        uint32_t planes[kPlanes];
        int used = 0;
        int32_t inside = 0;
        for (int32_t ty = 0; ty < g.filter_h; ++ty) {
          const int32_t iy = y * g.stride_h - g.pad_top + ty * g.dilation_h;
          for (int32_t tx = 0; tx < g.filter_w; ++tx) {
            const int32_t ix = x * g.stride_w - g.pad_left + tx * g.dilation_w;
            const bool padding = iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w;
            if (padding && !g.pad_with_ones) continue;
            ++inside;
            uint32_t carry =
                filters[(static_cast<size_t>(m) * taps(g) + ty * g.filter_w + tx) * words + word];
            if (!padding) {
              carry ^= image[(static_cast<size_t>(iy) * g.in_w + ix) * words + word];
            }
            for (int b = 0; carry != 0; ++b) {
              if (b == used) planes[used++] = 0;
              const uint32_t both = planes[b] & carry;
              planes[b] ^= carry;
              carry = both;
            }
          }
        }
        const int32_t left = g.in_c - word * 32, channels = left < 32 ? left : 32;
        int32_t* to = dots + (static_cast<size_t>(x) * g.in_c + word * 32) * multiplier + m;
        for (int32_t first = 0; first < channels; first += 8) {
          uint64_t low = 0;  // counts below 256, a byte each
          for (int b = 0; b < used && b < 8; ++b) low += spread(planes[b] >> first & 255) << b;
          for (int32_t c = first; c < first + 8 && c < channels; ++c) {
            int32_t count = static_cast<int32_t>(low >> 8 * (c - first) & 255);
            for (int b = 8; b < used; ++b) {
              count += static_cast<int32_t>(planes[b] >> c & 1) << b;
            }
            to[static_cast<size_t>(c) * multiplier] = inside - 2 * count;
          }
        }
      }
    }
  }
}

}  // namespace binary
}  // namespace kc
