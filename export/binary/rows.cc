#include "rows.h"

#include <string.h>

namespace kc {
namespace binary {

namespace {

// The pixels of [x0, x1) that find input under a filter's column: from `first` to `end`.
struct Span {
  int32_t first, end;
};

// Steps from the ends, of which there are no more than a panel's rows: a division would take longer.
inline Span inside(const Geometry& g, int32_t offset, int32_t x0, int32_t x1) {
  Span span = {x0, x1};
  while (span.first < x1 && int64_t{span.first} * g.stride_w + offset < 0) ++span.first;
  while (span.end > span.first && int64_t{span.end - 1} * g.stride_w + offset >= g.in_w) --span.end;
  return span;
}

inline uint64_t load(const uint32_t* from) {
  uint64_t pair;
  memcpy(&pair, from, 8);
  return pair;
}

template <bool kCarries>
inline uint64_t laid_out(uint64_t pair) {
  return kCarries ? pair ^ pair << 32 : pair;
}

// Pixels x0 .. x1 - 1 of the result's row y become rows `slot` and on, which lie in one panel.
// Each tap's words fill whole pairs.
template <bool kCarries>
void gather_pairs(const Geometry& g, int32_t panel, const uint32_t* image, int32_t group,
                  int32_t y, int32_t x0, int32_t x1, uint64_t* out) {
  const int32_t words = words_of(group_inputs(g)), pairs = words / 2;
  const ptrdiff_t pixel = static_cast<ptrdiff_t>(g.groups) * words;
  const ptrdiff_t step = g.stride_w * pixel;
  for (int32_t ty = 0; ty < g.filter_h; ++ty) {
    const int32_t iy = y * g.stride_h - g.pad_top + ty * g.dilation_h;
    const bool row_inside = iy >= 0 && iy < g.in_h;
    for (int32_t tx = 0; tx < g.filter_w; ++tx) {
      const int32_t offset = tx * g.dilation_w - g.pad_left;
      const Span span = row_inside ? inside(g, offset, x0, x1) : Span{x0, x0};
      const uint32_t* from =
          image + (static_cast<ptrdiff_t>(row_inside ? iy : 0) * g.in_w +
                   static_cast<ptrdiff_t>(span.first) * g.stride_w + offset) * pixel +
          group * words;
      for (int32_t j = 0; j < pairs; ++j, out += panel) {
        for (int32_t x = x0; x < span.first; ++x) out[x - x0] = 0;
        uint64_t* to = out + (span.first - x0);
        const int32_t count = span.end - span.first;
        if (step == 2 && count == 4) {  // The panel's rows are neighbours in memory.
          for (int32_t i = 0; i < 4; ++i) to[i] = laid_out<kCarries>(load(from + 2 * i));
        } else {
          for (int32_t i = 0; i < count; ++i) {
            to[i] = laid_out<kCarries>(load(from + 2 * j + i * step));
          }
        }
        for (int32_t x = span.end > x0 ? span.end : x0; x < x1; ++x) out[x - x0] = 0;
      }
    }
  }
}

// One row by words, where a tap's words end within a pair.
template <bool kCarries>
void gather_words(const Geometry& g, int32_t panel, const uint32_t* image, int32_t group,
                  int32_t y, int32_t x, uint32_t* row, uint64_t* out) {
  const int32_t words = words_of(group_inputs(g)), pairs = row_pairs(g);
  row[2 * pairs - 1] = 0;
  uint32_t* to = row;
  for (int32_t ty = 0; ty < g.filter_h; ++ty) {
    const int32_t iy = y * g.stride_h - g.pad_top + ty * g.dilation_h;
    for (int32_t tx = 0; tx < g.filter_w; ++tx, to += words) {
      const int32_t ix = x * g.stride_w - g.pad_left + tx * g.dilation_w;
      if (iy < 0 || iy >= g.in_h || ix < 0 || ix >= g.in_w) {
        for (int32_t i = 0; i < words; ++i) to[i] = 0;
      } else {
        const uint32_t* from =
            image + ((static_cast<size_t>(iy) * g.in_w + ix) * g.groups + group) * words;
        for (int32_t i = 0; i < words; ++i) to[i] = from[i];
      }
    }
  }
  for (int32_t k = 0; k < pairs; ++k) {
    out[static_cast<size_t>(k) * panel] = laid_out<kCarries>(load(row + 2 * k));
  }
}

template <bool kCarries>
void gather(const Geometry& g, int32_t panel, const uint32_t* image, int32_t group, int32_t first,
            int32_t count, uint32_t* row, uint64_t* out) {
  const size_t panel_size = static_cast<size_t>(row_pairs(g)) * panel;
  const bool whole = words_of(group_inputs(g)) % 2 == 0;
  for (int32_t done = 0; done < count;) {
    const int32_t slot = done % panel;
    uint64_t* to = out + done / panel * panel_size + slot;
    const int32_t y = (first + done) / g.out_w, x = (first + done) % g.out_w;
    int32_t now = 1;
    if (whole) {
      now = panel - slot;
      if (now > count - done) now = count - done;
      if (now > g.out_w - x) now = g.out_w - x;
      gather_pairs<kCarries>(g, panel, image, group, y, x, x + now, to);
    } else {
      gather_words<kCarries>(g, panel, image, group, y, x, row, to);
    }
    done += now;
  }
}

}  // namespace

void gather_rows(const Geometry& g, const Kernels& kernels, const uint32_t* image, int32_t group,
                 int32_t first, int32_t count, uint32_t* row, uint64_t* out) {
  if (kernels.carries) {
    gather<true>(g, kernels.panel, image, group, first, count, row, out);
  } else {
    gather<false>(g, kernels.panel, image, group, first, count, row, out);
  }
}

}  // namespace binary
}  // namespace kc
