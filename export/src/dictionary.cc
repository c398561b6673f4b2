#include "dictionary.h"

namespace kc {

const uint8_t kDictionary[] = {
#include "dictionary.inc"
};
const size_t kDictionarySize = sizeof kDictionary;

const DictionarySample kSampleSizes[] = {
#include "sample_sizes.inc"
};
const size_t kSamples = sizeof kSampleSizes / sizeof *kSampleSizes;

}  // namespace kc
