// Coding of a data section by a fast model.
#ifndef KC_FAST_MODEL_CODING_H_
#define KC_FAST_MODEL_CODING_H_

#include "sections.h"

namespace kc {

bool encode_fast(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out);
Decoded decode_fast(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory);

}  // namespace kc

#endif  // KC_FAST_MODEL_CODING_H_
