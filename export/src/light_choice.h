// Chooses what a light model's second counters look at.
#ifndef KC_LIGHT_CHOICE_H_
#define KC_LIGHT_CHOICE_H_

#include "plan.h"

namespace kc {

// Changes the extent's method to its counterpart among the light models, in the context that takes
// least; what has none is coded to decode fast.
void make_light(const Plan& plan, const uint8_t* file, Extent* extent);

}  // namespace kc

#endif  // KC_LIGHT_CHOICE_H_
