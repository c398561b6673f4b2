// The definition, as slow as it is plain: what every kernel is compared with.
#ifndef KC_BINARY_REFERENCE_H_
#define KC_BINARY_REFERENCE_H_

#include "geometry.h"

namespace kc {
namespace binary {

// Integer products [pixel][filter] of +1 and -1. `negative` holds one byte for each input number,
// [pixel][channel], 0 for +1 and 1 for -1; `weights` are packed as geometry.h says.
void reference(const Geometry& g, const uint8_t* negative, const uint8_t* weights, int32_t* out);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_REFERENCE_H_
