// Symbols most of which are one and the same, as pairs of a gap and the value behind it.
#ifndef KC_GAP_CODING_H_
#define KC_GAP_CODING_H_

#include "plan.h"

namespace kc {

// `symbols` are those of the extent less its lowest.
bool encode_gaps(const Extent& e, const uint8_t* symbols, Bytes* out);
// Restores elements.
Decoded decode_gaps(const Plan& plan, const Extent& e, Reader* in, uint8_t* data);

}  // namespace kc

#endif  // KC_GAP_CODING_H_
