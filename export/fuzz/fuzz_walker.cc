// Any bytes as a `.tflite`: the walker, and the report of tensors on it.
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
  return 0;
}
