#include "priming.h"

#include "lz.h"

namespace kc {

const PrimingSize kPrimingSizes[] = {
#include "priming_sizes.inc"
};
const size_t kPrimingGraphs = sizeof kPrimingSizes / sizeof kPrimingSizes[0];

// As lz.h codes them: plain they would make the library that phones carry half as large again. The build
// writes this file from priming.bin.
static const uint8_t kCodedPriming[] = {
#include "coded_priming.inc"
};

bool read_priming(Bytes* out) {
  size_t size = 0;
  for (size_t i = 0; i < kPrimingGraphs; ++i) size += kPrimingSizes[i].plan + kPrimingSizes[i].skeleton;
  return lz_decode(kCodedPriming, sizeof kCodedPriming, size, out);
}

}  // namespace kc
