// Codes plan and skeleton, what is left of a file when its constant buffers are taken out.
#ifndef KC_SKELETON_CODING_H_
#define KC_SKELETON_CODING_H_

#include "plan.h"
#include "skeleton.h"

namespace kc {

enum class GraphCoding {
  kRepeats,   // restored at once
  kLz,        // restored no slower than xz does
  kModelled,  // primed by the nearest graph
  kSmallest,  // so, with tables that take more memory than `auto` may
};

// Writes section 0. A patch is modelled in any case, beside what it doesn't take of the base or beside
// `ranges` of it. False: no memory, or a plan that no reader takes.
bool encode_skeleton(const Plan& plan, const Bytes& skeleton, uint64_t original_size, GraphCoding coding,
                     const List<BaseRange>& ranges, Bytes* out);

}  // namespace kc

#endif  // KC_SKELETON_CODING_H_
