// A node of a model file turned into a convolution: everything it states is checked here, because
// model files come from anywhere.
#ifndef KC_BINARY_DELEGATE_OP_H_
#define KC_BINARY_DELEGATE_OP_H_

#include "convolution.h"

namespace kc {
namespace binary {

// TFLite's numbers for the types that occur.
enum TensorType : int32_t {
  kTypeFloat32 = 1,
  kTypeInt32 = 2,
  kTypeUInt8 = 3,
  kTypeInt8 = 9,
};

// A tensor of the model, without TFLite's structs.
struct TensorView {
  int32_t type;
  int32_t rank;
  const int32_t* dims;
  size_t bytes;
  const void* data;  // null unless constant
  float scale;       // quantization
  int32_t zero_point;
};

// Attributes are 32-bit little-endian integers in this order; see docs/binary_export.md.
struct Attributes {
  int32_t version;  // kAttributes
  int32_t filter_h, filter_w, in_c, out_c;
  int32_t stride_h, stride_w, dilation_h, dilation_w;
  int32_t groups;
  int32_t same;  // 1: padded as TensorFlow's "SAME", and the next four are not looked at
  int32_t pad_top, pad_left, pad_bottom, pad_right;
  int32_t pad_with_ones;
  int32_t activation;  // 0 none, 1 ReLU, 2 ReLU6, 3 between -1 and 1
};
constexpr int32_t kAttributes = 0x3142434b;  // "KCB1"

// Scale and bias divided by an int8 result's scale.
struct RequantizedNumbers {
  float* scale;
  float* bias;
};

// Inputs: image, weights (bits), scale, bias, threshold of the input, threshold of the result; the
// last three may be null. Returns null, or what is wrong. On success `*images` is the batch and `shape` (rank entries, as the image's rank) the result's
// shape. `free_numbers` gives back what `numbers` holds, after an error, too.
const char* read_node(const void* attributes, size_t attributes_size, const TensorView* const inputs[6],
                      const TensorView& output, Settings* settings, RequantizedNumbers* numbers,
                      int32_t* images, int32_t shape[4]);
void free_numbers(RequantizedNumbers* numbers);

// Packed weights of a layer whose inputs are real: `bits` as +scale or -scale of its channel. The
// channel is the index along `axis` (0 or the last one) of the row-major result.
const char* unpack_weights(const TensorView& bits, const TensorView& scale, const int32_t* shape,
                           int32_t rank, int32_t axis, float* out, size_t count);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_DELEGATE_OP_H_
