// Writes `samples.inc` and `sample_sizes.inc` from `.tflite` files: see tools/make_samples.py.
#include <stdio.h>

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
    fprintf(stderr, "write_samples SAMPLES.inc SIZES.inc MODEL.tflite...\n");
    return 2;
  }
  FILE* samples = fopen(arguments[1], "w");
  FILE* sizes = fopen(arguments[2], "w");
  if (samples == nullptr || sizes == nullptr) return 1;
  for (int i = 3; i < count; ++i) {
    kc::Bytes data;
    kc::PackJob job;
    if (!read_file(arguments[i], &data) || !job.open(data.data(), data.size(), KC_CODEC_SMALLEST)) return 1;
    kc::Bytes plan;
    kc::write_plan(job.packing.plan, &plan);
    fprintf(sizes, "{%zu, %zu},\n", plan.size(), job.skeleton().size());
    size_t column = 0;
    const kc::Bytes* parts[2] = {&plan, &job.skeleton()};
    for (const kc::Bytes* part : parts) {
      for (size_t k = 0; k < part->size(); ++k, ++column) {
        fprintf(samples, "%d,%s", part->data()[k], column % 24 == 23 ? "\n" : " ");
      }
    }
    fprintf(samples, "\n");
  }
  return fclose(samples) | fclose(sizes);
}
