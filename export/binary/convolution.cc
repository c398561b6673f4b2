#include "convolution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "depthwise.h"
#include "epilogue.h"
#include "rows.h"

namespace kc {
namespace binary {

namespace {

constexpr int32_t kRowsMemory = 16 * 1024;      // of a block: half of a small first-level cache
constexpr int64_t kMostBorderSums = 1 << 26;

int32_t round_up(int32_t value, int32_t step) { return (value + step - 1) / step * step; }

bool bit_at(const uint8_t* bits, size_t index) { return bits[index / 8] >> index % 8 & 1; }

template <class T>
bool take(T** out, size_t count) {
  *out = static_cast<T*>(calloc(count ? count : 1, sizeof(T)));
  return *out != nullptr;
}

// Rows, or columns, of the result by which taps lie within the input: numbered, with the taps.
struct Borders {
  uint16_t* of = nullptr;  // [out]: number
  int32_t* first = nullptr;
  int32_t* end = nullptr;
  int32_t count = 0;
};

bool find_borders(int32_t in, int32_t out, int32_t filter, int32_t stride, int32_t dilation,
                  int32_t pad, Borders* b) {
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

struct Convolution {
  Geometry g;
  const Kernels* kernels;
  Pool* pool;
  Input input;
  Result result;
  int8_t zero_point;
  float low, high;
  bool depthwise;
  bool packs;         // the image's bits aren't laid out as needed, or it has none yet
  bool whole_words;   // a group's channels fill whole words, or there is one group
  bool bits_by_rows;  // the kernels' bits don't fall on bytes: compute floats, then pack
  int32_t padded;     // filters of a group, in whole blocks
  int32_t pairs;
  int32_t block_rows;
  int32_t shares, share_filters;  // of a group's filters among threads
  uint32_t* filters;
  int32_t* base;
  uint16_t* classes;
  float* input_threshold;
  float* scale;
  float* bias;
  float* threshold;         // padded like scale
  float* plain_threshold;   // [out_c]
  uint32_t* image;
  uint64_t* rows;   // a block for each thread
  uint32_t* words;  // a row for each thread
  int32_t* dots;    // a result's row for each thread
  float* values;    // the same, finished
  // Of the run under way.
  const void* from;
  void* to;
};

namespace {

// [group][block][pair][first, second][lane]
void arrange_filters(Convolution* c, const uint8_t* weights) {
  const Geometry& g = c->g;
  const int32_t inputs = group_inputs(g), count = group_filters(g), words = words_of(inputs);
  const int32_t lanes = c->kernels->block;
  for (int32_t o = 0; o < g.out_c; ++o) {
    const int32_t group = o / count, filter = o % count;
    uint32_t* block = c->filters + (static_cast<size_t>(group) * c->padded +
                                    filter / lanes * lanes) * c->pairs * 2 + filter % lanes;
    size_t bit = static_cast<size_t>(o) * taps(g) * inputs;
    for (int32_t t = 0; t < taps(g); ++t) {
      for (int32_t i = 0; i < inputs; ++i, ++bit) {
        if (bit_at(weights, bit)) {
          block[static_cast<size_t>(t * words + i / 32) * lanes] |= 1u << i % 32;
        }
      }
    }
    if (!c->kernels->carries) continue;
    for (int32_t k = 0; k < c->pairs; ++k) {
      uint32_t* pair = block + static_cast<size_t>(2 * k) * lanes;
      pair[lanes] ^= pair[0];
    }
  }
}

// What a row that differs nowhere amounts to, for every way the filter can hang over the edge. A
// tap in the zero padding is packed as +1 and would count as its weight says: that is given back.
bool add_up_borders(Convolution* c, const uint8_t* weights, const char** problem) {
  const Geometry& g = c->g;
  Borders rows, columns;
  bool done = false;
  int32_t* sums = nullptr;
  *problem = "there is not enough memory";
  if (g.pad_with_ones) {
    done = take(&c->base, c->padded * g.groups);
    if (done) {
      for (int32_t i = 0; i < c->padded * g.groups; ++i) c->base[i] = taps(g) * group_inputs(g);
    }
    return done;
  }
  if (!find_borders(g.in_h, g.out_h, g.filter_h, g.stride_h, g.dilation_h, g.pad_top, &rows) ||
      !find_borders(g.in_w, g.out_w, g.filter_w, g.stride_w, g.dilation_w, g.pad_left, &columns)) {
    free_borders(&rows);
    free_borders(&columns);
    return false;
  }
  const int64_t ways = static_cast<int64_t>(rows.count) * columns.count;
  const int32_t stride = c->padded * g.groups;
  if (ways > 65535 || ways * stride > kMostBorderSums) {
    *problem = "the filter hangs over the edges in too many ways";
  } else if (take(&c->base, static_cast<size_t>(ways) * stride) &&
             take(&sums, static_cast<size_t>(g.filter_h + 1) * (g.filter_w + 1))) {
    const int32_t inputs = group_inputs(g), wide = g.filter_w + 1;
    for (int32_t o = 0; o < g.out_c; ++o) {
      size_t bit = static_cast<size_t>(o) * taps(g) * inputs;
      for (int32_t ty = 0; ty < g.filter_h; ++ty) {
        for (int32_t tx = 0; tx < g.filter_w; ++tx) {
          int32_t negative = 0;
          for (int32_t i = 0; i < inputs; ++i, ++bit) negative += bit_at(weights, bit);
          sums[(ty + 1) * wide + tx + 1] = negative + sums[ty * wide + tx + 1] +
                                           sums[(ty + 1) * wide + tx] - sums[ty * wide + tx];
        }
      }
      const int32_t all = sums[g.filter_h * wide + g.filter_w];
      const int32_t place = o / group_filters(g) * c->padded + o % group_filters(g);
      for (int32_t r = 0; r < rows.count; ++r) {
        for (int32_t q = 0; q < columns.count; ++q) {
          const int32_t y0 = rows.first[r], y1 = rows.end[r];
          const int32_t x0 = columns.first[q], x1 = columns.end[q];
          const int32_t within = sums[y1 * wide + x1] - sums[y0 * wide + x1] -
                                 sums[y1 * wide + x0] + sums[y0 * wide + x0];
          c->base[(static_cast<size_t>(r) * columns.count + q) * stride + place] =
              (y1 - y0) * (x1 - x0) * inputs + 2 * (all - within);
        }
      }
    }
    for (int32_t y = 0; y < g.out_h; ++y) {
      for (int32_t x = 0; x < g.out_w; ++x) {
        c->classes[static_cast<size_t>(y) * g.out_w + x] =
            static_cast<uint16_t>(rows.of[y] * columns.count + columns.of[x]);
      }
    }
    done = true;
  }
  free(sums);
  free_borders(&rows);
  free_borders(&columns);
  return done;
}

bool copy_numbers(Convolution* c, const Settings& s) {
  const Geometry& g = c->g;
  const int32_t count = group_filters(g), stride = c->padded;
  const size_t all = static_cast<size_t>(stride) * g.groups;
  if (!take(&c->scale, all) || !take(&c->bias, all) || !take(&c->threshold, all) ||
      !take(&c->plain_threshold, g.out_c)) {
    return false;
  }
  for (size_t i = 0; i < all; ++i) c->threshold[i] = -HUGE_VALF;
  for (int32_t o = 0; o < g.out_c; ++o) {
    const size_t place = static_cast<size_t>(o / count) * stride + o % count;
    c->scale[place] = s.scale ? s.scale[o] : 1.0f;
    c->bias[place] = s.bias ? s.bias[o] : 0.0f;
    c->threshold[place] = c->plain_threshold[o] = s.result_threshold ? s.result_threshold[o] : 0.0f;
  }
  if (s.input_threshold == nullptr) return true;
  if (!take(&c->input_threshold, g.in_c)) return false;
  memcpy(c->input_threshold, s.input_threshold, static_cast<size_t>(g.in_c) * 4);
  return true;
}

bool prepare(Convolution* c, const Settings& s, const char** problem) {
  const Geometry& g = c->g;
  *problem = "there is not enough memory";
  const int threads = thread_count(c->pool);
  const int32_t inputs = group_inputs(g), count = group_filters(g);
  c->depthwise = inputs == 1 && g.groups > 1;
  c->whole_words = c->depthwise || g.groups == 1 || inputs % 32 == 0;
  c->packs = s.input != Input::kBits || !c->whole_words;
  c->padded = c->depthwise ? count : round_up(count, c->kernels->block);
  c->pairs = row_pairs(g);
  c->bits_by_rows =
      s.result == Result::kBits && (c->depthwise || (g.groups > 1 && count % 16 != 0));
  const size_t row_results = static_cast<size_t>(g.out_w) * g.out_c;
  if (!copy_numbers(c, s)) return false;
  const size_t image_words = static_cast<size_t>(g.in_h) * g.in_w *
                             (c->depthwise ? words_of(g.in_c) : g.groups * words_of(inputs));
  if (c->packs && !take(&c->image, image_words)) return false;
  if ((c->depthwise || c->bits_by_rows) && !take(&c->dots, row_results * threads)) return false;
  if (c->bits_by_rows && !take(&c->values, row_results * threads)) return false;
  if (c->depthwise) {
    if (!take(&c->filters, static_cast<size_t>(count) * taps(g) * words_of(g.in_c))) return false;
    arrange_depthwise(g, s.weights, c->filters);
    return true;
  }
  if (!take(&c->filters, static_cast<size_t>(c->padded) * g.groups * c->pairs * 2) ||
      !take(&c->classes, pixels(g))) {
    return false;
  }
  arrange_filters(c, s.weights);
  if (!add_up_borders(c, s.weights, problem)) return false;
  *problem = "there is not enough memory";

  const int32_t panel = c->kernels->panel;
  const int64_t row_bytes = static_cast<int64_t>(c->pairs) * 8;
  int32_t block = static_cast<int32_t>(kRowsMemory / row_bytes) / panel * panel;
  if (block < panel) block = panel;
  if (block > round_up(pixels(g), panel)) block = round_up(pixels(g), panel);
  // Bits by rows are finished a row of the result at a time.
  if (c->bits_by_rows) block = round_up(g.out_w, panel);
  c->block_rows = block;
  const int32_t blocks = (pixels(g) + block - 1) / block, lanes = c->kernels->block;
  c->shares = 1;
  if (threads > 1 && !c->bits_by_rows && blocks * g.groups < 2 * threads) {
    c->shares = 2 * threads / (blocks * g.groups);
    // Whole words of bits belong to one thread.
    const int32_t step = lanes < 32 ? 32 : lanes;
    const int32_t most = (c->padded + step - 1) / step;
    if (c->shares > most) c->shares = most;
    c->share_filters = round_up((c->padded + c->shares - 1) / c->shares, step);
    c->shares = (c->padded + c->share_filters - 1) / c->share_filters;
  }
  if (c->shares == 1) c->share_filters = c->padded;
  return take(&c->rows, static_cast<size_t>(block) * c->pairs * threads) &&
         take(&c->words, static_cast<size_t>(c->pairs) * 2 * threads);
}

void pack(Convolution* c, const void* from, size_t offset, int32_t count, int32_t channels,
          const float* threshold, uint32_t* to) {
  if (c->input == Input::kFloat) {
    c->kernels->pack_float(static_cast<const float*>(from) + offset, threshold, count, channels,
                           to);
  } else {
    c->kernels->pack_int8(static_cast<const int8_t*>(from) + offset, c->zero_point, count,
                          channels, to);
  }
}

// Packs one row of the image.
void pack_row(void* context, int32_t y, int) {
  Convolution* c = static_cast<Convolution*>(context);
  const Geometry& g = c->g;
  const int32_t inputs = group_inputs(g), words = words_of(inputs);
  const size_t first = static_cast<size_t>(y) * g.in_w;
  if (c->whole_words) {
    pack(c, c->from, first * g.in_c, g.in_w, g.in_c, c->input_threshold,
         c->image + first * words_of(g.in_c));
    return;
  }
  for (size_t pixel = first; pixel < first + g.in_w; ++pixel) {
    for (int32_t group = 0; group < g.groups; ++group) {
      uint32_t* to = c->image + (pixel * g.groups + group) * words;
      if (c->input != Input::kBits) {
        pack(c, c->from, pixel * g.in_c + group * inputs, 1, inputs,
             c->input_threshold ? c->input_threshold + group * inputs : nullptr, to);
        continue;
      }
      const uint32_t* bits = static_cast<const uint32_t*>(c->from) + pixel * words_of(g.in_c);
      for (int32_t word = 0; word < words; ++word) to[word] = 0;
      for (int32_t i = 0; i < inputs; ++i) {
        const int32_t channel = group * inputs + i;
        to[i / 32] |= (bits[channel / 32] >> channel % 32 & 1) << i % 32;
      }
    }
  }
}

size_t stored_bytes(const Convolution& c) {  // of one pixel
  switch (c.result) {
    case Result::kInt8: return c.g.out_c;
    case Result::kBits: return static_cast<size_t>(words_of(c.g.out_c)) * 4;
    default: return static_cast<size_t>(c.g.out_c) * 4;
  }
}

Product product_of(const Convolution& c, int32_t group) {
  Product p = {};
  p.scale = c.scale + static_cast<size_t>(group) * c.padded;
  p.bias = c.bias + static_cast<size_t>(group) * c.padded;
  p.threshold = c.threshold + static_cast<size_t>(group) * c.padded;
  p.low = c.low;
  p.high = c.high;
  p.result = c.result;
  p.pairs = c.pairs;
  p.base_stride = c.padded * c.g.groups;
  return p;
}

// Finishes one row of the result from its products.
void finish_row(Convolution* c, int32_t y, const int32_t* dots, float* values) {
  const Geometry& g = c->g;
  char* out = static_cast<char*>(c->to) + static_cast<size_t>(y) * g.out_w * stored_bytes(*c);
  const size_t count = static_cast<size_t>(g.out_w) * g.out_c;
  if (c->result == Result::kCounts) {
    memcpy(out, dots, count * 4);
    return;
  }
  Product p = product_of(*c, 0);
  const int32_t filters = group_filters(g);
  for (int32_t x = 0; x < g.out_w; ++x) {
    for (int32_t o = 0; o < g.out_c; ++o) {
      const size_t i = static_cast<size_t>(x) * g.out_c + o;
      const int32_t place =
          filters == c->padded ? o : o / filters * c->padded + o % filters;
      const float value = finish(p, dots[i], place);
      if (c->result == Result::kInt8) {
        out[i] = static_cast<char>(to_int8(value));
      } else if (c->result == Result::kFloat) {
        memcpy(out + i * 4, &value, 4);
      } else {
        values[i] = value;
      }
    }
  }
  if (c->result == Result::kBits) {
    c->kernels->pack_float(values, c->plain_threshold, g.out_w, g.out_c,
                           reinterpret_cast<uint32_t*>(out));
  }
}

const uint32_t* image_of(const Convolution& c) {
  return c.packs ? c.image : static_cast<const uint32_t*>(c.from);
}

void work_depthwise(void* context, int32_t y, int thread) {
  Convolution* c = static_cast<Convolution*>(context);
  const size_t size = static_cast<size_t>(c->g.out_w) * c->g.out_c;
  int32_t* dots = c->dots + size * thread;
  depthwise_row(c->g, image_of(*c), c->filters, y, dots);
  finish_row(c, y, dots, c->values ? c->values + size * thread : nullptr);
}

void multiply_block(Convolution* c, int32_t group, int32_t share, int32_t first, int32_t count,
                    int thread, Result result, void* to, size_t pixel_bytes) {
  const Geometry& g = c->g;
  uint64_t* rows = c->rows + static_cast<size_t>(c->block_rows) * c->pairs * thread;
  uint32_t* words = c->words + static_cast<size_t>(c->pairs) * 2 * thread;
  gather_rows(g, *c->kernels, image_of(*c), group, first, count, words, rows);
  const int32_t filter = share * c->share_filters;
  const int32_t left = group_filters(g) - filter;
  const size_t place = static_cast<size_t>(group) * c->padded + filter;
  Product p = product_of(*c, group);
  p.rows = rows;
  p.row_count = count;
  p.filters = c->filters + place * c->pairs * 2;
  p.filter_count = left < c->share_filters ? left : c->share_filters;
  p.base = c->base + place;
  p.classes = c->classes + first;
  p.scale += filter;
  p.bias += filter;
  p.threshold += filter;
  p.result = result;
  const size_t before = static_cast<size_t>(group) * group_filters(g) + filter;
  p.out = static_cast<char*>(to) +
          (result == Result::kBits ? before / 8 : result == Result::kInt8 ? before : before * 4);
  p.out_stride = pixel_bytes;
  c->kernels->multiply(p);
}

void work_block(void* context, int32_t unit, int thread) {
  Convolution* c = static_cast<Convolution*>(context);
  const int32_t share = unit % c->shares;
  const int32_t group = unit / c->shares % c->g.groups;
  const int32_t first = unit / c->shares / c->g.groups * c->block_rows;
  const int32_t left = pixels(c->g) - first;
  const size_t bytes = stored_bytes(*c);
  multiply_block(c, group, share, first, left < c->block_rows ? left : c->block_rows, thread,
                 c->result, static_cast<char*>(c->to) + first * bytes, bytes);
}

void work_row(void* context, int32_t y, int thread) {
  Convolution* c = static_cast<Convolution*>(context);
  const size_t size = static_cast<size_t>(c->g.out_w) * c->g.out_c;
  int32_t* dots = c->dots + size * thread;
  for (int32_t group = 0; group < c->g.groups; ++group) {
    multiply_block(c, group, 0, y * c->g.out_w, c->g.out_w, thread, Result::kCounts, dots,
                   static_cast<size_t>(c->g.out_c) * 4);
  }
  finish_row(c, y, dots, c->values + size * thread);
}

}  // namespace

Convolution* new_convolution(const Settings& settings, const Kernels* kernels, Pool* pool,
                             const char** problem) {
  *problem = "there is not enough memory";
  Convolution* c;
  if (!take(&c, 1)) return nullptr;
  c->g = settings.geometry;
  c->kernels = kernels;
  c->pool = pool;
  c->input = settings.input;
  c->result = settings.result;
  c->zero_point = settings.input_zero_point;
  c->low = settings.low;
  c->high = settings.high;
  if (prepare(c, settings, problem)) {
    *problem = nullptr;
    return c;
  }
  free_convolution(c);
  return nullptr;
}

void free_convolution(Convolution* c) {
  if (c == nullptr) return;
  void* const owned[] = {c->filters, c->base,      c->classes,         c->input_threshold,
                         c->scale,   c->bias,      c->threshold,       c->plain_threshold,
                         c->image,   c->rows,      c->words,           c->dots,
                         c->values};
  for (void* memory : owned) free(memory);
  free(c);
}

void convolve(Convolution* c, const void* image, void* out) {
  const Geometry& g = c->g;
  c->from = image;
  c->to = out;
  if (c->packs) run(c->pool, g.in_h, pack_row, c);
  if (c->depthwise) {
    run(c->pool, g.out_h, work_depthwise, c);
  } else if (c->bits_by_rows) {
    run(c->pool, g.out_h, work_row, c);
  } else {
    // Kernels store the bits of whole blocks, and those may end before the last word does.
    if (c->result == Result::kBits) memset(out, 0, stored_bytes(*c) * pixels(g));
    const int32_t blocks = (pixels(g) + c->block_rows - 1) / c->block_rows;
    run(c->pool, blocks * g.groups * c->shares, work_block, c);
  }
}

}  // namespace binary
}  // namespace kc
