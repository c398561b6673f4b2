// The geometry of a binary convolution, checked once; what is behind it may then trust the numbers.
#ifndef KC_BINARY_GEOMETRY_H_
#define KC_BINARY_GEOMETRY_H_

#include <stddef.h>
#include <stdint.h>

namespace kc {
namespace binary {

// A convolution over one NHWC image. A dense layer is one with a 1x1 image and a 1x1 filter.
struct Geometry {
  int32_t in_h, in_w, in_c;
  int32_t out_c;
  int32_t filter_h, filter_w;
  int32_t stride_h, stride_w;
  int32_t dilation_h, dilation_w;
  int32_t groups;
  int32_t pad_top, pad_left, pad_bottom, pad_right;
  int32_t pad_with_ones;  // else the padding counts as zero and adds nothing
  // Set by `complete`.
  int32_t out_h, out_w;
};

// Fills `pad_*` as TensorFlow's "SAME" does.
void pad_same(Geometry* g);

// Works out the size of the result. Returns null, or English text saying what is wrong; after null
// every product of sizes that this library forms fits 31 bits.
const char* complete(Geometry* g);

inline int32_t group_inputs(const Geometry& g) { return g.in_c / g.groups; }
inline int32_t group_filters(const Geometry& g) { return g.out_c / g.groups; }
inline int32_t taps(const Geometry& g) { return g.filter_h * g.filter_w; }
inline int32_t pixels(const Geometry& g) { return g.out_h * g.out_w; }
// Weights lie in this order, one bit each, the lowest bit of a byte first, 1 for -1:
// [filter][tap row][tap column][input of the group]. A depthwise layer is one with in_c groups.
inline size_t weight_bits(const Geometry& g) {
  return static_cast<size_t>(g.out_c) * taps(g) * group_inputs(g);
}
inline int32_t round_up(int32_t value, int32_t step) { return (value + step - 1) / step * step; }
inline bool bit_at(const uint8_t* bits, size_t index) { return bits[index / 8] >> index % 8 & 1; }
// 32-bit words that hold the packed channels of one pixel.
inline int32_t words_of(int32_t channels) { return channels / 32 + (channels % 32 != 0); }

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_GEOMETRY_H_
