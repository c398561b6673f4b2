// From a file to its packed form.
#ifndef KC_PACK_H_
#define KC_PACK_H_

#include "container.h"
#include "plan.h"

namespace kc {

int32_t pack(const uint8_t* data, size_t size, int32_t codec, Bytes* out, kc_error* error);

}  // namespace kc

#endif  // KC_PACK_H_
