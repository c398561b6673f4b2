// Plans and skeletons as converters and the exporter write them, to begin a model with. Part of the format.
#ifndef KC_SAMPLES_H_
#define KC_SAMPLES_H_

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

namespace kc {

// Each sample is the plan and the skeleton of a model, one after another.
struct SampleSize {
  uint32_t plan;      // bytes of its plan
  uint32_t skeleton;  // bytes of its skeleton
};
extern const size_t kSamples;  // at most 16
extern const SampleSize kSampleSizes[];

// Appends the bytes of all samples. False: no memory.
bool read_samples(Bytes* out);

}  // namespace kc

#endif  // KC_SAMPLES_H_
