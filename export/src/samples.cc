// A file of its own: beside the dictionary's values the compiler keeps a second copy of them.
#include "dictionary.h"
#include "lz.h"

namespace kc {

// samples.inc as lz.h codes it after the dictionary (tools/code_samples.cc): its 59,018 bytes would
// make the library that phones carry half as large again.
static const uint8_t kCodedSamples[] = {
#include "coded_samples.inc"
};

bool read_samples(Bytes* out) {
  size_t size = 0;
  for (size_t i = 0; i < kSamples; ++i) size += kSampleSizes[i].plan + kSampleSizes[i].skeleton;
  Bytes history;
  history.append(kDictionary, kDictionarySize);
  if (!lz_decode(kCodedSamples, sizeof kCodedSamples, size, &history)) return false;
  out->append(history.data() + kDictionarySize, size);
  return !out->failed();
}

}  // namespace kc
