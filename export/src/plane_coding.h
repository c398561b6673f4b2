// Floats as planes of their bytes, each with one Huffman code or raw.
#ifndef KC_PLANE_CODING_H_
#define KC_PLANE_CODING_H_

#include "plan.h"

namespace kc {

bool encode_planes(const Extent& whole, const uint8_t* all, Bytes* out);
Decoded decode_planes(const Plan& plan, const Extent& e, Reader* in, uint8_t* data);

}  // namespace kc

#endif  // KC_PLANE_CODING_H_
