// Section 0 of a modelled file: plan and skeleton, bounded and checked at every step.
#ifndef KC_UNPACK_H_
#define KC_UNPACK_H_

#include "container.h"
#include "plan.h"

namespace kc {

// Decodes plan and skeleton, which the payload `first` of section 0 holds, and checks them.
int32_t read_skeleton(const Container& container, const Span& first, Plan* plan, Bytes* skeleton,
                      kc_error* error);

}  // namespace kc

#endif  // KC_UNPACK_H_
