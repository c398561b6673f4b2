// Rows of a product out of a packed image: for every pixel of the result the words under its filter.
#ifndef KC_BINARY_ROWS_H_
#define KC_BINARY_ROWS_H_

#include "geometry.h"
#include "kernels.h"

namespace kc {
namespace binary {

// 64-bit pairs of one row.
inline int32_t row_pairs(const Geometry& g) {
  return (taps(g) * words_of(group_inputs(g)) + 1) / 2;
}

// Writes rows `first` .. `first + count - 1` of a group, in panels. `image` is packed
// [pixel][group][words of a group's channels]; `row` is room for 2 * row_pairs words.
void gather_rows(const Geometry& g, const Kernels& kernels, const uint32_t* image, int32_t group,
                 int32_t first, int32_t count, uint32_t* row, uint64_t* out);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_ROWS_H_
