// From a packed file back to the original, bounded and checked at every step.
#ifndef KC_UNPACK_H_
#define KC_UNPACK_H_

#include "container.h"
#include "plan.h"

namespace kc {

// Decodes plan and skeleton of a container in modelled form.
int32_t read_skeleton(const Container& container, Plan* plan, Bytes* skeleton, kc_error* error);

// Restores `container.original_size` bytes into `out`. `plan` is left as it was read, and
// `skeleton_size` says how many bytes stood outside its extents; neither is set in stored form.
int32_t restore(const Container& container, uint8_t* out, Plan* plan, size_t* skeleton_size,
                kc_error* error);

}  // namespace kc

#endif  // KC_UNPACK_H_
