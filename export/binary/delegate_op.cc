#include "delegate_op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

namespace kc {
namespace binary {

namespace {

bool all_finite(const float* x, int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    if (!isfinite(x[i])) return false;
  }
  return true;
}

const char* check_floats(const TensorView* t, int32_t count, const char* problem) {
  const bool good = t->type == kTypeFloat32 && t->data != nullptr && t->rank == 1 && t->dims[0] == count &&
                    t->bytes == static_cast<size_t>(count) * 4 &&
                    (reinterpret_cast<uintptr_t>(t->data) & 3) == 0;
  return good ? nullptr : problem;
}

const char* set_limits(int32_t activation, Settings* s) {
  s->low = -HUGE_VALF;
  s->high = HUGE_VALF;
  switch (activation) {
    case 0: return nullptr;
    case 1: s->low = 0; return nullptr;
    case 2: s->low = 0, s->high = 6; return nullptr;
    case 3: s->low = -1, s->high = 1; return nullptr;
    default: return "the activation is unknown";
  }
}

const char* requantize(const TensorView& output, Settings* s, RequantizedNumbers* numbers) {
  const float scale = output.scale;
  const int32_t zero = output.zero_point;
  if (!(scale > 0) || !isfinite(scale) || zero < -128 || zero > 127) {
    return "the result's quantization is not that of int8";
  }
  const int32_t count = s->geometry.out_c;
  numbers->scale = static_cast<float*>(malloc(static_cast<size_t>(count) * 4));
  numbers->bias = static_cast<float*>(malloc(static_cast<size_t>(count) * 4));
  if (!numbers->scale || !numbers->bias) return "there is not enough memory";
  for (int32_t o = 0; o < count; ++o) {
    numbers->scale[o] = s->scale[o] / scale;
    numbers->bias[o] = (s->bias ? s->bias[o] : 0.0f) / scale + static_cast<float>(zero);
  }
  if (!all_finite(numbers->scale, count) || !all_finite(numbers->bias, count)) {
    return "a scale is too large for the result's quantization";
  }
  s->scale = numbers->scale;
  s->bias = numbers->bias;
  const float low = s->low / scale + static_cast<float>(zero);
  const float high = s->high / scale + static_cast<float>(zero);
  s->low = low > -128 ? low : -128;
  s->high = high < 127 ? high : 127;
  return nullptr;
}

}  // namespace

const char* read_node(const void* attributes, size_t attributes_size, const TensorView* const inputs[6],
                      const TensorView& output, Settings* s, RequantizedNumbers* numbers, int32_t* images,
                      int32_t shape[4]) {
  *numbers = {};
  *s = {};
  Attributes a;
  if (attributes == nullptr || attributes_size != sizeof a) {
    return "the attributes have another size than this version's";
  }
  memcpy(&a, attributes, sizeof a);
  if (a.version != kAttributes) return "the attributes are of another version";
  if ((a.same | a.pad_with_ones) & ~1) return "an attribute that is 0 or 1 is neither";
  const TensorView* x = inputs[0];
  if (x == nullptr || inputs[1] == nullptr || inputs[2] == nullptr) return "an input is missing";
  if (x->rank != 4 && x->rank != 2) return "the image must have 4 dimensions, or 2";
  for (int32_t i = 0; i < x->rank; ++i) {
    if (x->dims[i] <= 0) return "the input has a dimension of zero";
  }
  Geometry& g = s->geometry;
  g.in_h = x->rank == 4 ? x->dims[1] : 1;
  g.in_w = x->rank == 4 ? x->dims[2] : 1;
  g.in_c = a.in_c;
  g.out_c = a.out_c;
  g.filter_h = a.filter_h;
  g.filter_w = a.filter_w;
  g.stride_h = a.stride_h;
  g.stride_w = a.stride_w;
  g.dilation_h = a.dilation_h;
  g.dilation_w = a.dilation_w;
  g.groups = a.groups;
  g.pad_top = a.pad_top;
  g.pad_left = a.pad_left;
  g.pad_bottom = a.pad_bottom;
  g.pad_right = a.pad_right;
  g.pad_with_ones = a.pad_with_ones;
  if (a.same) {
    g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = 0;
    pad_same(&g);
  }
  if (const char* problem = complete(&g)) return problem;
  *images = x->dims[0];
  if (int64_t{*images} * pixels(g) * words_of(g.out_c) * 32 > INT32_MAX / 4 ||
      int64_t{*images} * g.in_h * g.in_w * words_of(g.in_c) * 32 > INT32_MAX / 4) {
    return "the batch is too large";
  }

  int32_t channels = g.in_c;
  if (x->type == kTypeFloat32) {
    s->input = Input::kFloat;
  } else if (x->type == kTypeInt8) {
    s->input = Input::kInt8;
    if (!(x->scale > 0) || x->zero_point < -128 || x->zero_point > 127) {
      return "the input's quantization is not that of int8";
    }
    s->input_zero_point = static_cast<int8_t>(x->zero_point);
  } else if (x->type == kTypeInt32) {
    s->input = Input::kBits;
    channels = words_of(g.in_c);
  } else {
    return "the input must be float32, int8 or packed bits";
  }
  if (x->dims[x->rank - 1] != channels) return "the input has another number of channels";

  const TensorView* w = inputs[1];
  if (w->type != kTypeUInt8 || w->data == nullptr || w->rank != 1 || w->bytes != (weight_bits(g) + 7) / 8) {
    return "the packed weights don't fill their shape";
  }
  s->weights = static_cast<const uint8_t*>(w->data);
  if (const char* problem = check_floats(inputs[2], g.out_c, "the scale doesn't fit the filters")) {
    return problem;
  }
  s->scale = static_cast<const float*>(inputs[2]->data);
  if (inputs[3] != nullptr) {
    if (const char* problem = check_floats(inputs[3], g.out_c, "the bias doesn't fit the filters")) {
      return problem;
    }
    s->bias = static_cast<const float*>(inputs[3]->data);
  }
  if (!all_finite(s->scale, g.out_c) || (s->bias && !all_finite(s->bias, g.out_c))) {
    return "a scale or a bias is not finite";
  }
  if (inputs[4] != nullptr) {
    if (s->input != Input::kFloat) return "only a float input has thresholds";
    if (const char* p = check_floats(inputs[4], g.in_c, "a threshold doesn't fit the channels")) {
      return p;
    }
    s->input_threshold = static_cast<const float*>(inputs[4]->data);
  }
  if (inputs[5] != nullptr) {
    if (output.type != kTypeInt32) return "only a result of bits has thresholds";
    if (const char* p = check_floats(inputs[5], g.out_c, "a threshold doesn't fit the filters")) {
      return p;
    }
    s->result_threshold = static_cast<const float*>(inputs[5]->data);
  }
  if (const char* problem = set_limits(a.activation, s)) return problem;
  int32_t stored = g.out_c;
  if (output.type == kTypeFloat32) {
    s->result = Result::kFloat;
  } else if (output.type == kTypeInt8) {
    s->result = Result::kInt8;
    if (const char* problem = requantize(output, s, numbers)) return problem;
  } else if (output.type == kTypeInt32) {
    s->result = Result::kBits;
    stored = words_of(g.out_c);
  } else {
    return "the result must be float32, int8 or packed bits";
  }
  shape[0] = *images;
  if (x->rank == 2) {
    if (pixels(g) != 1) return "a dense layer has one result";
    shape[1] = stored;
  } else {
    shape[1] = g.out_h;
    shape[2] = g.out_w;
    shape[3] = stored;
  }
  return nullptr;
}

void free_numbers(RequantizedNumbers* numbers) {
  free(numbers->scale);
  free(numbers->bias);
  *numbers = {};
}

const char* unpack_weights(const TensorView& bits, const TensorView& scale, const int32_t* shape,
                           int32_t rank, int32_t axis, float* out, size_t count) {
  if (rank < 1 || rank > 4 || (axis != 0 && axis != rank - 1)) return "the shape is unknown";
  size_t product = 1;
  for (int32_t i = 0; i < rank; ++i) {
    if (shape[i] <= 0 || product > (size_t{1} << 29) / shape[i]) return "the shape is too large";
    product *= shape[i];
  }
  if (product != count) return "the unpacked weights don't fill their shape";
  if (bits.type != kTypeUInt8 || bits.data == nullptr || bits.bytes != (count + 7) / 8) {
    return "the packed weights don't fill their shape";
  }
  if (const char* p = check_floats(&scale, shape[axis], "the scale doesn't fit the channels")) {
    return p;
  }
  const uint8_t* packed = static_cast<const uint8_t*>(bits.data);
  const float* scales = static_cast<const float*>(scale.data);
  const size_t run = axis == 0 ? count / shape[0] : 1;
  for (size_t i = 0; i < count; ++i) {
    const float s = scales[i / run % shape[axis]];
    out[i] = packed[i / 8] >> i % 8 & 1 ? -s : s;
  }
  return nullptr;
}

}  // namespace binary
}  // namespace kc
