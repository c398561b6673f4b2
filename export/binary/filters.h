// Filters laid out as the kernels read them.
#ifndef KC_BINARY_FILTERS_H_
#define KC_BINARY_FILTERS_H_

#include "geometry.h"
#include "kernels.h"

namespace kc {
namespace binary {

// Filters of a group, in whole blocks.
inline int32_t padded_filters(const Geometry& g, const Kernels& kernels) {
  return round_up(group_filters(g), kernels.block);
}

// [group][block][pair][first, second][lane]; `out` holds groups * padded_filters * row_pairs * 2
// words of zeros.
void arrange_filters(const Geometry& g, const Kernels& kernels, const uint8_t* weights, uint32_t* out);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_FILTERS_H_
