// Attributes and tensors of a binary node, as a hostile model file may state them.
#include <stdlib.h>
#include <string.h>

#include <initializer_list>

#include "../binary/delegate_op.h"

using namespace kc::binary;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Attributes, then a small header for every tensor, then the constants' bytes.
  struct Header {
    uint8_t type, rank, present;
    int8_t zero_point;
    int32_t dims[4];
    float scale;
    uint16_t bytes;
  };
  Header headers[7];
  const size_t fixed = sizeof(Attributes) + sizeof headers;
  if (size < fixed) return 0;
  memcpy(headers, data + sizeof(Attributes), sizeof headers);
  uint8_t* constants[6] = {};
  TensorView views[7];
  const TensorView* inputs[6];
  const uint8_t* rest = data + fixed;
  size_t left = size - fixed;
  for (int i = 0; i < 7; ++i) {
    const Header& h = headers[i];
    views[i] = {h.type, h.rank % 5, h.dims, 0, nullptr, h.scale, h.zero_point};
    if (i == 6) break;
    size_t bytes = h.bytes < left ? h.bytes : left;
    if (h.present & 2) {
      // Exactly as long as stated, so that the sanitizer sees a step too far.
      constants[i] = static_cast<uint8_t*>(malloc(bytes));
      if (constants[i] != nullptr) memcpy(constants[i], rest, bytes);
      views[i].data = constants[i];
      views[i].bytes = bytes;
      rest += bytes;
      left -= bytes;
    }
    inputs[i] = h.present & 1 ? &views[i] : nullptr;
  }
  Settings settings;
  RequantizedNumbers numbers;
  int32_t images, shape[4];
  const char* problem =
      read_node(data, sizeof(Attributes), inputs, views[6], &settings, &numbers, &images, shape);
  const Geometry& g = settings.geometry;
  const int64_t work = problem ? 0 : int64_t{pixels(g)} * g.out_c * taps(g) * words_of(group_inputs(g));
  if (problem == nullptr && work < (1 << 16) && int64_t{g.in_h} * g.in_w * g.in_c < (1 << 16)) {
    static Pool* pool = new_pool(1);
    for (const Kernels* kernels : {&kPortableKernels, best_kernels()}) {
      Convolution* c = new_convolution(settings, kernels, pool, &problem);
      if (c == nullptr) continue;
      void* image = calloc(static_cast<size_t>(g.in_h) * g.in_w * words_of(g.in_c) * 32, 4);
      void* out = calloc(static_cast<size_t>(pixels(g)) * words_of(g.out_c) * 32, 4);
      if (image != nullptr && out != nullptr) convolve(c, image, out);
      free(image);
      free(out);
      free_convolution(c);
    }
  }
  free_numbers(&numbers);
  for (uint8_t* memory : constants) free(memory);
  return 0;
}
