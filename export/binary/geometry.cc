#include "geometry.h"

namespace kc {
namespace binary {

namespace {

constexpr int64_t kLargest = int64_t{1} << 28;  // elements; with 4 bytes each still 31 bits

int32_t dilated(int32_t filter, int32_t dilation) { return (filter - 1) * dilation + 1; }

bool product_fits(const int64_t* factors, int count) {
  int64_t product = 1;
  for (int i = 0; i < count; ++i) {
    if (factors[i] > kLargest || product * factors[i] > kLargest) return false;
    product *= factors[i];
  }
  return true;
}

template <int N>
bool fits(const int64_t (&factors)[N]) {
  return product_fits(factors, N);
}

void split(int32_t in, int32_t filter, int32_t stride, int32_t* before, int32_t* after) {
  const int32_t out = (in + stride - 1) / stride;
  int32_t total = (out - 1) * stride + filter - in;
  if (total < 0) total = 0;
  *before = total / 2;
  *after = total - *before;
}

}  // namespace

void pad_same(Geometry* g) {
  // Hostile numbers are left as they are: `complete` refuses them.
  const int32_t max = 1 << 14;
  if (g->in_h <= 0 || g->in_w <= 0 || g->filter_h <= 0 || g->filter_w <= 0 || g->stride_h <= 0 ||
      g->stride_w <= 0 || g->dilation_h <= 0 || g->dilation_w <= 0 || g->in_h > kLargest ||
      g->in_w > kLargest || g->filter_h > max || g->filter_w > max || g->stride_h > max ||
      g->stride_w > max || g->dilation_h > max || g->dilation_w > max) {
    return;
  }
  split(g->in_h, dilated(g->filter_h, g->dilation_h), g->stride_h, &g->pad_top, &g->pad_bottom);
  split(g->in_w, dilated(g->filter_w, g->dilation_w), g->stride_w, &g->pad_left, &g->pad_right);
}

const char* complete(Geometry* g) {
  if (g->in_h <= 0 || g->in_w <= 0 || g->in_c <= 0) return "the input has a dimension of zero";
  if (g->out_c <= 0) return "there are no filters";
  if (g->filter_h <= 0 || g->filter_w <= 0) return "the filter has a dimension of zero";
  if (g->stride_h <= 0 || g->stride_w <= 0) return "a stride is not positive";
  if (g->dilation_h <= 0 || g->dilation_w <= 0) return "a dilation is not positive";
  if (g->groups <= 0 || g->in_c % g->groups || g->out_c % g->groups) {
    return "the channels can't be divided among the groups";
  }
  if (g->pad_top < 0 || g->pad_left < 0 || g->pad_bottom < 0 || g->pad_right < 0) {
    return "a padding is negative";
  }
  const int32_t max = 1 << 14;
  if (g->filter_h > max || g->filter_w > max || g->stride_h > max || g->stride_w > max ||
      g->dilation_h > max || g->dilation_w > max || g->pad_top > max || g->pad_left > max ||
      g->pad_bottom > max || g->pad_right > max) {
    return "a filter, stride, dilation or padding is beyond 16384";
  }
  if (!fits({g->in_h, g->in_w, words_of(g->in_c) * int64_t{32}}) ||
      !fits({g->filter_h, g->filter_w, g->out_c, group_inputs(*g)}) ||
      // As the kernels lay weights out: whole words and whole blocks of filters.
      !fits({g->filter_h, g->filter_w, words_of(group_inputs(*g)) + int64_t{1},
             g->out_c + int64_t{32} * g->groups})) {
    return "the sizes' product is too large";
  }
  const int64_t reach_h =
      int64_t{g->in_h} + g->pad_top + g->pad_bottom - (int64_t{g->filter_h} - 1) * g->dilation_h - 1;
  const int64_t reach_w =
      int64_t{g->in_w} + g->pad_left + g->pad_right - (int64_t{g->filter_w} - 1) * g->dilation_w - 1;
  if (reach_h < 0 || reach_w < 0) return "the filter is larger than the padded input";
  const int64_t out_h = reach_h / g->stride_h + 1, out_w = reach_w / g->stride_w + 1;
  if (!fits({out_h, out_w, words_of(g->out_c) * int64_t{32}})) {
    return "the result's size is too large";
  }
  g->out_h = static_cast<int32_t>(out_h);
  g->out_w = static_cast<int32_t>(out_w);
  return nullptr;
}

}  // namespace binary
}  // namespace kc
