// Coding of a data section by a light model.
#ifndef KC_LIGHT_CODING_H_
#define KC_LIGHT_CODING_H_

#include "sections.h"

namespace kc {

bool encode_light(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out);
Decoded decode_light(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory);

}  // namespace kc

#endif  // KC_LIGHT_CODING_H_
