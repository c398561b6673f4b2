// Codes plan and skeleton, what is left of a file when its constant buffers are taken out.
#ifndef KC_SKELETON_CODING_H_
#define KC_SKELETON_CODING_H_

#include "plan.h"

namespace kc {

// Writes section 0 in the form that is smallest among those that `codec` allows. False: no memory, or
// a plan that no reader takes.
bool encode_skeleton(const Plan& plan, const Bytes& skeleton, uint64_t original_size, int32_t codec,
                     Bytes* out);

}  // namespace kc

#endif  // KC_SKELETON_CODING_H_
