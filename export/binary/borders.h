// What the zero padding makes of a product.
#ifndef KC_BINARY_BORDERS_H_
#define KC_BINARY_BORDERS_H_

#include "geometry.h"
#include "kernels.h"

namespace kc {
namespace binary {

// The product of a row that differs nowhere from its filter, for every way the filter can hang over
// the edge: *base[way][group][padded]. `rows`, one for each pixel of the result, get where their
// way begins. A tap in the zero padding is packed as +1 and would count as its weight says: that is
// given back.
bool add_up_borders(const Geometry& g, const uint8_t* weights, int32_t padded, int32_t** base, Row* rows,
                    const char** problem);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_BORDERS_H_
