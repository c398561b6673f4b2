// Fast models as choice, and as measure of other choices.
#ifndef KC_FAST_CHOICE_H_
#define KC_FAST_CHOICE_H_

#include "plan.h"

namespace kc {

// Changes the extent's method to its counterpart among the fast models, in the context that takes
// least; what has none is coded to decode fast.
void use_fast_model(const Plan& plan, const uint8_t* file, Extent* extent);

// About what an extent of symbols or floats takes, in bytes, by a fast model over some of it: in a
// hundredth of the time that its own model would need.
uint64_t estimated_cost(const Plan& plan, const Extent& extent, const uint8_t* file);

}  // namespace kc

#endif  // KC_FAST_CHOICE_H_
