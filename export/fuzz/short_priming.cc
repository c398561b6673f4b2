// Stands in for src/priming.cc: taking all priming graphs into the models for each input
// would leave ten executions a second. What is fuzzed is the code, and the tables stay small.
#include "priming.h"

namespace kc {

// Two: one without extents, and one with a constant buffer of 8 bytes.
const PrimingSize kPrimingSizes[] = {{2, 8}, {6, 12}};
const size_t kPrimingGraphs = 2;
const uint8_t kPrimingBytes[] = {0, 0, 28, 0, 0, 0, 'T', 'F', 'L', '3', 1,  0, 10, 8,
                                 1, 7, 28, 0, 0, 0, 'T', 'F', 'L', '3', 20, 0, 32, 0};

bool read_priming(Bytes* out) {
  out->append(kPrimingBytes, sizeof kPrimingBytes);
  return !out->failed();
}

}  // namespace kc
