// Any bytes as a `.tflite` or a bundle of them: the walkers, and the reports of tensors and parts.
#include "keras_compress.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kc_tensor tensors[16];
  size_t count = 0;
  if (kc_tensors(data, size, tensors, 16, &count) != KC_OK) return 0;
  uint64_t end = 0;
  for (size_t i = 0; i < count && i < 16; ++i) {
    if (tensors[i].offset < end || tensors[i].size > size - tensors[i].offset) __builtin_trap();
    end = tensors[i].offset + tensors[i].size;
    if (tensors[i].name_offset + tensors[i].name_size > size) __builtin_trap();
  }
  kc_part parts[16];
  if (kc_parts(data, size, parts, 16, &count) != KC_OK) __builtin_trap();
  for (size_t i = 0; i < count && i < 16; ++i) {
    if (parts[i].offset > size || parts[i].size > size - parts[i].offset || parts[i].parent > i)
      __builtin_trap();
    if (parts[i].name_offset + parts[i].name_size > size) __builtin_trap();
  }
  return 0;
}
