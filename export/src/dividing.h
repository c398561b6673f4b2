// Divides a plan's extents into data sections.
#ifndef KC_DIVIDING_H_
#define KC_DIVIDING_H_

#include "plan.h"

namespace kc {

// Elements of a section of that method in a file of common size; larger tensors are divided.
uint64_t section_elements(uint8_t method, int growth = 0);

// Puts parts in the place of large extents, and gives each extent its section. Sections grow with the
// file up to a million elements, then there are more of them. False: no memory, or too much of all.
bool divide_into_sections(Plan* plan);

// An extent is divided between so many elements at a time.
uint64_t division_unit(const Extent& e);
// Makes blocks of an extent those of `count` of its elements, from `first` on.
void cut_blocks(uint64_t first, uint64_t count, Extent* e);

}  // namespace kc

#endif  // KC_DIVIDING_H_
