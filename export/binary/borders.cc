#include "borders.h"

#include "memory.h"

namespace kc {
namespace binary {

namespace {

constexpr int64_t kMaxBorderSums = 1 << 26;

// Rows, or columns, of the result by which taps lie within the input: numbered, with the taps.
struct Borders {
  uint16_t* of = nullptr;  // [out]: number
  int32_t* first = nullptr;
  int32_t* end = nullptr;
  int32_t count = 0;
};

bool find_borders(int32_t in, int32_t out, int32_t filter, int32_t stride, int32_t dilation, int32_t pad,
                  Borders* b) {
  if (!take(&b->of, out) || !take(&b->first, out) || !take(&b->end, out)) return false;
  for (int32_t i = 0; i < out; ++i) {
    const int32_t start = i * stride - pad;
    int32_t first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    int32_t end = start >= in ? 0 : (in - start + dilation - 1) / dilation;
    if (end > filter) end = filter;
    if (first > end) first = end;
    // Both grow along the result, so only the last number can be the same again.
    int32_t number = b->count;
    for (int32_t j = b->count - 1; j >= 0 && j >= b->count - 2; --j) {
      if (b->first[j] == first && b->end[j] == end) number = j;
    }
    if (number == b->count) {
      if (b->count == 65535) return false;
      b->first[number] = first;
      b->end[number] = end;
      ++b->count;
    }
    b->of[i] = static_cast<uint16_t>(number);
  }
  return true;
}

void free_borders(Borders* b) {
  free(b->of);
  free(b->first);
  free(b->end);
}

}  // namespace

bool add_up_borders(const Geometry& g, const uint8_t* weights, int32_t padded, int32_t** base, Row* rows,
                    const char** problem) {
  const int32_t stride = padded * g.groups;
  Borders down, across;
  bool done = false;
  int32_t* sums = nullptr;
  *problem = "there is not enough memory";
  if (g.pad_with_ones) {
    if (!take(base, stride)) return false;
    for (int32_t i = 0; i < stride; ++i) (*base)[i] = taps(g) * group_inputs(g);
    return true;
  }
  if (!find_borders(g.in_h, g.out_h, g.filter_h, g.stride_h, g.dilation_h, g.pad_top, &down) ||
      !find_borders(g.in_w, g.out_w, g.filter_w, g.stride_w, g.dilation_w, g.pad_left, &across)) {
    free_borders(&down);
    free_borders(&across);
    return false;
  }
  const int64_t ways = static_cast<int64_t>(down.count) * across.count;
  if (ways * stride > kMaxBorderSums) {
    *problem = "the filter hangs over the edges in too many ways";
  } else if (take(base, static_cast<size_t>(ways) * stride) &&
             take(&sums, static_cast<size_t>(g.filter_h + 1) * (g.filter_w + 1))) {
    const int32_t inputs = group_inputs(g), wide = g.filter_w + 1;
    for (int32_t o = 0; o < g.out_c; ++o) {
      size_t bit = static_cast<size_t>(o) * taps(g) * inputs;
      for (int32_t ty = 0; ty < g.filter_h; ++ty) {
        for (int32_t tx = 0; tx < g.filter_w; ++tx) {
          int32_t negative = 0;
          for (int32_t i = 0; i < inputs; ++i, ++bit) negative += bit_at(weights, bit);
          sums[(ty + 1) * wide + tx + 1] =
              negative + sums[ty * wide + tx + 1] + sums[(ty + 1) * wide + tx] - sums[ty * wide + tx];
        }
      }
      const int32_t all = sums[g.filter_h * wide + g.filter_w];
      const int32_t place = o / group_filters(g) * padded + o % group_filters(g);
      for (int32_t r = 0; r < down.count; ++r) {
        for (int32_t q = 0; q < across.count; ++q) {
          const int32_t y0 = down.first[r], y1 = down.end[r];
          const int32_t x0 = across.first[q], x1 = across.end[q];
          const int32_t within =
              sums[y1 * wide + x1] - sums[y0 * wide + x1] - sums[y1 * wide + x0] + sums[y0 * wide + x0];
          (*base)[(static_cast<size_t>(r) * across.count + q) * stride + place] =
              (y1 - y0) * (x1 - x0) * inputs + 2 * (all - within);
        }
      }
    }
    for (int32_t y = 0; y < g.out_h; ++y) {
      for (int32_t x = 0; x < g.out_w; ++x) {
        (rows++)->base_at = (down.of[y] * across.count + across.of[x]) * stride;
      }
    }
    done = true;
  }
  free(sums);
  free_borders(&down);
  free_borders(&across);
  return done;
}

}  // namespace binary
}  // namespace kc
