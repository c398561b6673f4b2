// What converters always write, to prime the skeleton's model with. Part of the format.
#ifndef KC_DICTIONARY_H_
#define KC_DICTIONARY_H_

#include <stddef.h>
#include <stdint.h>

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
extern const uint8_t kSampleBytes[];

}  // namespace kc

#endif  // KC_DICTIONARY_H_
