// Writes `coded_samples.inc` from `samples.inc`, after the latter was made anew: see make_samples.py.
#include <stdio.h>

#include "lz.h"

static const uint8_t kSampleBytes[] = {
#include "samples.inc"
};

int main(int count, char** arguments) {
  FILE* file = count == 2 ? fopen(arguments[1], "w") : nullptr;
  if (file == nullptr) {
    fprintf(stderr, "code_samples CODED.inc\n");
    return 2;
  }
  kc::Bytes bytes, coded;
  bytes.append(kSampleBytes, sizeof kSampleBytes);
  if (!kc::lz_encode(bytes, 0, &coded)) return 1;
  for (size_t i = 0; i < coded.size(); ++i) {
    fprintf(file, "%d,%s", coded.data()[i], i % 24 == 23 || i + 1 == coded.size() ? "\n" : " ");
  }
  return fclose(file);
}
