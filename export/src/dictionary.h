// What converters always write, to prime the skeleton's model with. Part of the format.
#ifndef KC_DICTIONARY_H_
#define KC_DICTIONARY_H_

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

namespace kc {

// Version 1: skeletons, one after another.
extern const size_t kDictionarySize;
extern const uint8_t kDictionary[];

// Version 3: samples, each the plan and the skeleton of a model, one after another.
struct DictionarySample {
  uint32_t plan;      // bytes of its plan
  uint32_t skeleton;  // bytes of its skeleton
};
extern const size_t kSamples;
extern const DictionarySample kSampleSizes[];

// Appends the bytes of all samples, which are those of samples.inc. False: no memory.
bool read_samples(Bytes* out);

}  // namespace kc

#endif  // KC_DICTIONARY_H_
