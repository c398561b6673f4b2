// Raw bytes, and coding with canonical Huffman codes, for the fastest decoding: one extent at a time.
#ifndef KC_PLAIN_CODING_H_
#define KC_PLAIN_CODING_H_

#include "plan.h"

namespace kc {

// Payloads of data sections, one extent after another.
bool encode_plainly(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out);
Decoded decode_plainly(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory);

}  // namespace kc

#endif  // KC_PLAIN_CODING_H_
