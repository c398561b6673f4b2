#include "samples.h"

#include "lz.h"

namespace kc {

const SampleSize kSampleSizes[] = {
#include "sample_sizes.inc"
};
const size_t kSamples = sizeof kSampleSizes / sizeof kSampleSizes[0];

// As lz.h codes them: plain they would make the library that phones carry half as large again. The build
// writes this file from samples.bin.
static const uint8_t kCodedSamples[] = {
#include "coded_samples.inc"
};

bool read_samples(Bytes* out) {
  size_t size = 0;
  for (size_t i = 0; i < kSamples; ++i) size += kSampleSizes[i].plan + kSampleSizes[i].skeleton;
  return lz_decode(kCodedSamples, sizeof kCodedSamples, size, out);
}

}  // namespace kc
