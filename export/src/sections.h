// Coding of the data sections: each holds one or several extents of one method.
#ifndef KC_SECTIONS_H_
#define KC_SECTIONS_H_

#include "plan.h"

namespace kc {

// Appends the payload of data section `number`. `original` is the whole file. False: no memory.
bool encode_section(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out);

// Bytes that extents of one method would take in a section of their own, by coding them; all ones
// without memory.
uint64_t extents_cost(const Plan& plan, const List<Extent>& extents, const uint8_t* original);
uint64_t extent_cost(const Plan& plan, const Extent& extent, const uint8_t* original);

// Restores the extents of data section `number` to their places (Extent::place) in `memory`.
Decoded decode_section(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory);

}  // namespace kc

#endif  // KC_SECTIONS_H_
