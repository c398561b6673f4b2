// An image of bits: how it lies in memory, how it is packed, and where in it a pixel of the result
// finds the words under its filter.
//
// Where a pixel's words fill whole pairs the image is packed with its padding around it, and the
// kernels read every row of the product where it lies. Elsewhere, as with 32 channels, a pair
// spans two taps, and rows are gathered a block at a time.
#ifndef KC_BINARY_IMAGE_H_
#define KC_BINARY_IMAGE_H_

#include "geometry.h"
#include "kernels.h"

namespace kc {
namespace binary {

enum class Input { kFloat, kInt8, kBits };

// The numbers that become bits.
struct Numbers {
  Input kind;
  const float* threshold;  // [in_c], null where the sign is that of the number itself; kFloat only
  int8_t zero_point;       // kInt8
};

struct Image {
  bool in_place;   // kernels read it as it lies: padded, and laid out for those that carry
  bool by_groups;  // each group's channels begin a word
  int32_t words;   // of a pixel
  int32_t top, left;
  int32_t height, width;
};

// `depthwise` layers have a word for 32 channels, whatever their groups.
Image lay_out(const Geometry& g, bool depthwise);
inline size_t image_words(const Image& image) {
  return static_cast<size_t>(image.height) * image.width * image.words;
}
// Whether numbers of this kind are already packed as the image lies.
bool is_packed(const Image& image, Input kind);

// Packs row `y` of the input. What surrounds it in `out` stays as it is: zeros, taken for +1.
void pack_row(const Geometry& g, const Image& image, const Kernels& kernels, const Numbers& numbers,
              const void* from, int32_t y, uint32_t* out);

// Pairs of words of one row of the product.
inline int32_t row_pairs(const Geometry& g) { return (taps(g) * words_of(group_inputs(g)) + 1) / 2; }
// Of an image that lies in place, in words: where each pixel of the result begins, and where from
// there each pair of its row. A group's words lie group * words_of(group_inputs) further on.
void find_rows(const Geometry& g, const Image& image, Row* rows);
void find_pairs(const Geometry& g, const Image& image, int32_t* pair_at);
// Of one that doesn't: writes the row of one pixel and group, 2 * row_pairs words.
void gather_row(const Geometry& g, const Image& image, bool carries, const uint32_t* packed, int32_t group,
                int32_t pixel, uint32_t* out);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_IMAGE_H_
