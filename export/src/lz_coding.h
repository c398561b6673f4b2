// LZ with adaptive arithmetic codes: as small as xz, for bytes that are nothing better known.
#ifndef KC_LZ_CODING_H_
#define KC_LZ_CODING_H_

#include "plan.h"

namespace kc {

// Codes `history` from byte `start` on; what stands before may be repeated. False: no memory.
bool lz_encode_modelled(const Bytes& history, size_t start, Bytes* out);
// Appends `size` bytes to `history`.
Decoded lz_decode_modelled(const uint8_t* data, size_t length, size_t size, Bytes* history);

// A data section: its extents as one.
bool encode_lz_section(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out);
Decoded decode_lz_section(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory);

}  // namespace kc

#endif  // KC_LZ_CODING_H_
