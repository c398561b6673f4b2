// Depthwise layers: one channel under each filter, so channels are the lanes and bits are counted in
// columns, a word of 32 channels at a time.
#ifndef KC_BINARY_DEPTHWISE_H_
#define KC_BINARY_DEPTHWISE_H_

#include "geometry.h"
#include "kernels.h"

namespace kc {
namespace binary {

// Lays out one filter bit for every channel: [filter of the channel][tap][word of channels].
// `out` holds group_filters * taps * words_of(in_c) words of zeros.
void arrange_depthwise(const Geometry& g, const uint8_t* weights, uint32_t* out);

// Products of one row of the result: dots[x * out_c + filter]. `image` is packed
// [pixel][word of channels].
void depthwise_row(const Geometry& g, const uint32_t* image, const uint32_t* filters, int32_t y,
                   int32_t* dots);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_DEPTHWISE_H_
