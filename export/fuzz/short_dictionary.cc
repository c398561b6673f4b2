// Stands in for src/dictionary.cc: taking the whole dictionary into the models for each input
// would leave ten executions a second. What is fuzzed is the code, and the tables stay small.
#include "dictionary.h"

namespace kc {

const uint8_t kDictionary[] = {
    28, 0, 0, 0, 'T', 'F', 'L', '3', 20, 0, 32, 0, 28, 0, 24, 0, 20, 0, 16, 0, 12, 0, 0, 0,
    8,  0, 4, 0, 20,  0,   0,   0,   28, 0, 0,  0, 15, 0, 0,  0, 's', 'e', 'r', 'v', 'i', 'n', 'g', '_',
};
const size_t kDictionarySize = sizeof kDictionary;

// Two samples: one without extents, and one with a constant buffer of 8 bytes.
const DictionarySample kSampleSizes[] = {{2, 8}, {6, 12}};
const size_t kSamples = 2;
const uint8_t kSampleBytes[] = {0, 0, 28, 0, 0, 0, 'T', 'F', 'L', '3', 1,  0, 10, 8, 1, 7,
                                28, 0, 0, 0, 'T', 'F', 'L', '3', 20, 0, 32, 0};

bool read_samples(Bytes* out) {
  out->append(kSampleBytes, sizeof kSampleBytes);
  return !out->failed();
}

}  // namespace kc
