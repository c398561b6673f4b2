#include "image.h"

#include <string.h>

namespace kc {
namespace binary {

namespace {

// Words beyond which padding is not worth its memory: filters that reach far over the edges.
constexpr int64_t kMaxPadded = 1 << 20;
constexpr int64_t kMaxGrowth = 4;

// The second word of each pair becomes what it differs in from the first.
void lay_out_pairs(uint32_t* words, size_t count) {
  for (size_t i = 0; i + 1 < count; i += 2) {
    uint64_t pair;
    memcpy(&pair, words + i, 8);
    pair ^= pair << 32;
    memcpy(words + i, &pair, 8);
  }
}

void pack(const Kernels& kernels, const Numbers& numbers, const void* from, size_t offset, int32_t channel,
          int32_t count, int32_t channels, uint32_t* out) {
  if (numbers.kind == Input::kFloat) {
    const float* threshold = numbers.threshold ? numbers.threshold + channel : nullptr;
    kernels.pack_float(static_cast<const float*>(from) + offset, threshold, count, channels, out);
  } else {
    kernels.pack_int8(static_cast<const int8_t*>(from) + offset, numbers.zero_point, count, channels, out);
  }
}

}  // namespace

Image lay_out(const Geometry& g, bool depthwise) {
  const int32_t words = words_of(group_inputs(g));
  Image image = {};
  image.height = g.in_h;
  image.width = g.in_w;
  image.by_groups = !depthwise && g.groups > 1 && group_inputs(g) % 32 != 0;
  image.words = image.by_groups ? g.groups * words : words_of(g.in_c);
  if (depthwise || words % 2 != 0) return image;
  // As far as the input or the last filter reaches.
  int64_t height = int64_t{g.in_h} + g.pad_top, width = int64_t{g.in_w} + g.pad_left;
  const int64_t reach_h = (g.out_h - int64_t{1}) * g.stride_h + (g.filter_h - int64_t{1}) * g.dilation_h + 1;
  const int64_t reach_w = (g.out_w - int64_t{1}) * g.stride_w + (g.filter_w - int64_t{1}) * g.dilation_w + 1;
  if (height < reach_h) height = reach_h;
  if (width < reach_w) width = reach_w;
  const int64_t plain = int64_t{g.in_h} * g.in_w;
  if (height * width > kMaxPadded / image.words && height * width > kMaxGrowth * plain) {
    return image;
  }
  image.in_place = true;
  image.top = g.pad_top;
  image.left = g.pad_left;
  image.height = static_cast<int32_t>(height);
  image.width = static_cast<int32_t>(width);
  return image;
}

bool is_packed(const Image& image, Input kind) {
  return kind == Input::kBits && !image.in_place && !image.by_groups;
}

void pack_row(const Geometry& g, const Image& image, const Kernels& kernels, const Numbers& numbers,
              const void* from, int32_t y, uint32_t* out) {
  const size_t first = static_cast<size_t>(y) * g.in_w;
  uint32_t* row = out + ((static_cast<size_t>(y) + image.top) * image.width + image.left) *
                            static_cast<size_t>(image.words);
  const size_t row_words = static_cast<size_t>(g.in_w) * image.words;
  if (!image.by_groups) {
    if (numbers.kind == Input::kBits) {
      memcpy(row, static_cast<const uint32_t*>(from) + first * image.words, row_words * 4);
    } else {
      pack(kernels, numbers, from, first * g.in_c, 0, g.in_w, g.in_c, row);
    }
  } else {
    const int32_t inputs = group_inputs(g), words = words_of(inputs);
    uint32_t* to = row;
    for (size_t pixel = first; pixel < first + g.in_w; ++pixel) {
      for (int32_t group = 0; group < g.groups; ++group, to += words) {
        if (numbers.kind != Input::kBits) {
          pack(kernels, numbers, from, pixel * g.in_c + group * inputs, group * inputs, 1, inputs, to);
          continue;
        }
        const uint32_t* bits = static_cast<const uint32_t*>(from) + pixel * words_of(g.in_c);
        for (int32_t word = 0; word < words; ++word) to[word] = 0;
        for (int32_t i = 0; i < inputs; ++i) {
          const int32_t channel = group * inputs + i;
          to[i / 32] |= (bits[channel / 32] >> channel % 32 & 1) << i % 32;
        }
      }
    }
  }
  if (image.in_place && kernels.carries) lay_out_pairs(row, row_words);
}

void find_rows(const Geometry& g, const Image& image, Row* rows) {
  for (int32_t y = 0; y < g.out_h; ++y) {
    for (int32_t x = 0; x < g.out_w; ++x) {
      (rows++)->at = (y * g.stride_h * image.width + x * g.stride_w) * image.words;
    }
  }
}

void find_pairs(const Geometry& g, const Image& image, int32_t* pair_at) {
  const int32_t words = words_of(group_inputs(g));
  for (int32_t ty = 0; ty < g.filter_h; ++ty) {
    for (int32_t tx = 0; tx < g.filter_w; ++tx) {
      const int32_t tap = (ty * g.dilation_h * image.width + tx * g.dilation_w) * image.words;
      for (int32_t word = 0; word < words; word += 2) *pair_at++ = tap + word;
    }
  }
}

void gather_row(const Geometry& g, const Image& image, bool carries, const uint32_t* packed, int32_t group,
                int32_t pixel, uint32_t* out) {
  const int32_t words = words_of(group_inputs(g)), pairs = row_pairs(g);
  const int32_t y = pixel / g.out_w, x = pixel % g.out_w;
  out[2 * pairs - 1] = 0;  // may be no tap's
  uint32_t* to = out;
  for (int32_t ty = 0; ty < g.filter_h; ++ty) {
    const int32_t iy = y * g.stride_h - g.pad_top + ty * g.dilation_h;
    for (int32_t tx = 0; tx < g.filter_w; ++tx, to += words) {
      const int32_t ix = x * g.stride_w - g.pad_left + tx * g.dilation_w;
      if (iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w) {
        for (int32_t i = 0; i < words; ++i) to[i] = 0;
      } else {
        const uint32_t* from = packed + (static_cast<size_t>(iy) * g.in_w + ix) * image.words +
                               static_cast<size_t>(group) * words;
        for (int32_t i = 0; i < words; ++i) to[i] = from[i];
      }
    }
  }
  if (carries) lay_out_pairs(out, static_cast<size_t>(pairs) * 2);
}

}  // namespace binary
}  // namespace kc
