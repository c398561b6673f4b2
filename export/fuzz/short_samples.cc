// Stands in for src/samples.cc: taking all samples into the models for each input
// would leave ten executions a second. What is fuzzed is the code, and the tables stay small.
#include "samples.h"

namespace kc {

// Two samples: one without extents, and one with a constant buffer of 8 bytes.
const SampleSize kSampleSizes[] = {{2, 8}, {6, 12}};
const size_t kSamples = 2;
const uint8_t kSampleBytes[] = {0, 0, 28, 0, 0, 0, 'T', 'F', 'L', '3', 1,  0, 10, 8,
                                1, 7, 28, 0, 0, 0, 'T', 'F', 'L', '3', 20, 0, 32, 0};

bool read_samples(Bytes* out) {
  out->append(kSampleBytes, sizeof kSampleBytes);
  return !out->failed();
}

}  // namespace kc
