// A binary convolution ready to run: filters laid out for this processor's kernels, the padding's
// part worked out, memory taken. Running it takes no memory and can't fail.
#ifndef KC_BINARY_CONVOLUTION_H_
#define KC_BINARY_CONVOLUTION_H_

#include "geometry.h"
#include "image.h"
#include "kernels.h"
#include "threads.h"

namespace kc {
namespace binary {

struct Settings {
  Geometry geometry;  // completed
  Input input;
  Result result;
  // Of the input; null where the sign is that of the number itself. Input::kFloat only.
  const float* input_threshold;   // [in_c]
  int8_t input_zero_point;        // Input::kInt8
  const uint8_t* weights;         // weight_bits(geometry), in its order
  const float* scale;             // [out_c]; null with Result::kCounts, as the next two
  const float* bias;              // [out_c]; null for zeros
  const float* result_threshold;  // [out_c], Result::kBits; null for zeros
  float low, high;                // the activation's limits; for kInt8 within -128 and 127
};

struct Convolution;

// Copies what it needs of the settings. Returns null with `*problem` set.
Convolution* new_convolution(const Settings& settings, const Kernels* kernels, Pool* pool,
                             const char** problem);
void free_convolution(Convolution* convolution);

// One image. kBits stores words_of(out_c) 32-bit words a pixel, unused bits 0; kCounts the integer
// products, [pixel][out_c].
void convolve(Convolution* convolution, const void* image, void* out);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_CONVOLUTION_H_
