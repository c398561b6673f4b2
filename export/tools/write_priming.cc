// Writes `priming.bin` and `priming_sizes.inc` from `.tflite` files: see tools/make_priming.py.
#include <stdio.h>

#include "lz.h"
#include "pack.h"
#include "sections.h"

namespace {

bool read_file(const char* path, kc::Bytes* out) {
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return false;
  uint8_t piece[4096];
  for (size_t n; (n = fread(piece, 1, sizeof piece, file)) != 0;) out->append(piece, n);
  fclose(file);
  return !out->failed();
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    fprintf(stderr, "write_priming PRIMING.bin SIZES.inc MODEL.tflite...\n");
    return 2;
  }
  FILE* priming = fopen(arguments[1], "wb");
  FILE* sizes = fopen(arguments[2], "w");
  if (priming == nullptr || sizes == nullptr) return 1;
  kc::Bytes all, coded;
  for (int i = 3; i < count; ++i) {
    kc::Bytes data, plan;
    kc::PackJob job;
    if (!read_file(arguments[i], &data) || !job.open(data.data(), data.size(), KC_CODEC_SMALLEST)) return 1;
    kc::write_plan(job.packing.plan, &plan);
    fprintf(sizes, "{%zu, %zu},\n", plan.size(), job.skeleton().size());
    all.append(plan.data(), plan.size());
    all.append(job.skeleton().data(), job.skeleton().size());
  }
  if (all.failed() || !kc::lz_encode(all, 0, &coded)) return 1;
  printf("%zu bytes in %zu\n", all.size(), coded.size());
  const bool written = fwrite(coded.data(), 1, coded.size(), priming) == coded.size();
  return (written ? 0 : 1) | fclose(priming) | fclose(sizes);
}
