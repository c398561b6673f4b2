// Priming graphs: plans and skeletons as converters and the exporter write them, to begin a model with.
// Part of the format.
#ifndef KC_PRIMING_H_
#define KC_PRIMING_H_

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

namespace kc {

// Each is the plan and the skeleton of a model, one after another.
struct PrimingSize {
  uint32_t plan;      // bytes of its plan
  uint32_t skeleton;  // bytes of its skeleton
};
extern const size_t kPrimingGraphs;  // at most 16
extern const PrimingSize kPrimingSizes[];

// Appends the bytes of all priming graphs. False: no memory.
bool read_priming(Bytes* out);

}  // namespace kc

#endif  // KC_PRIMING_H_
