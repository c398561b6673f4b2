// From a file to its packed form.
#ifndef KC_PACK_H_
#define KC_PACK_H_

#include "container.h"
#include "plan.h"

namespace kc {

// What became of the file: filled in where it was modelled, and not stored as it is.
struct Packing {
  Plan plan;
  bool stored = false;
  size_t skeleton_size = 0;
  size_t skeleton_packed = 0;
  uint32_t sections = 0;
};

int32_t pack(const uint8_t* data, size_t size, int32_t codec, Bytes* out, Packing* packing,
             kc_error* error);

}  // namespace kc

#endif  // KC_PACK_H_
