#include "convolution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "borders.h"
#include "depthwise.h"
#include "epilogue.h"
#include "filters.h"
#include "memory.h"

namespace kc {
namespace binary {

namespace {

constexpr int32_t kRowsMemory = 16 * 1024;  // of a block: half of a small first-level cache
constexpr int32_t kTileRows = 4;            // that kernels take together

}  // namespace

struct Convolution {
  Geometry g;
  const Kernels* kernels;
  Pool* pool;
  Image image;
  Numbers numbers;
  Result result;
  float low, high;
  bool limited;
  bool depthwise;
  bool bits_by_rows;  // the kernels' bits don't fall on bytes: compute floats, then pack
  int32_t padded;     // filters of a group, in whole blocks
  int32_t pairs;
  int32_t block_rows;
  int32_t shares, share_filters;  // of a group's filters among threads
  uint32_t* filters;
  int32_t* base;
  bool same_base;
  Row* rows;  // of every pixel of the result
  int32_t* pair_at;
  float* input_threshold;
  float* scale;
  float* bias;
  float* threshold;        // padded like scale
  float* plain_threshold;  // [out_c]
  uint32_t* packed;        // null where the input is it
  // Where rows are gathered, a block for each thread.
  uint32_t* gathered;
  Row* gathered_rows;
  int32_t* dots;  // a result's row for each thread
  float* values;  // the same, finished
  // Of the run under way.
  const void* from;
  void* to;
};

namespace {

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
  c->numbers.threshold = c->input_threshold;
  return true;
}

// Whether the activation's limits can make a difference to a result.
bool is_limited(const Convolution& c) {
  const bool int8 = c.result == Result::kInt8;
  if (int8 ? c.low > -128 || c.high < 127 : c.low > -HUGE_VALF || c.high < HUGE_VALF) return true;
  // Integers beyond int8 are clipped as they are narrowed, as long as they are within 32 bits.
  const float max = int8 ? 1e9f : 1e38f;
  const float largest = static_cast<float>(taps(c.g) * group_inputs(c.g));
  for (int32_t i = 0; i < c.padded * c.g.groups; ++i) {
    if (!(largest * fabsf(c.scale[i]) + fabsf(c.bias[i]) < max)) return true;  // or NaN
  }
  return false;
}

// Rows of a block, and the parts that threads have of its filters.
void divide(Convolution* c, int threads) {
  const Geometry& g = c->g;
  const int32_t row_words = c->image.in_place ? c->image.words : 2 * c->pairs;
  int32_t block = kRowsMemory / 4 / row_words;
  block = block < kTileRows ? kTileRows : block / kTileRows * kTileRows;
  if (block > pixels(g)) block = pixels(g);
  // Bits by rows are finished a row of the result at a time.
  if (c->bits_by_rows) block = g.out_w;
  c->block_rows = block;
  const int32_t blocks = (pixels(g) + block - 1) / block, lanes = c->kernels->block;
  c->shares = 1;
  c->share_filters = c->padded;
  if (threads == 1 || c->bits_by_rows || blocks * g.groups >= 2 * threads) return;
  c->shares = 2 * threads / (blocks * g.groups);
  // Whole words of bits belong to one thread.
  const int32_t step = lanes < 32 ? 32 : lanes;
  const int32_t max = (c->padded + step - 1) / step;
  if (c->shares > max) c->shares = max;
  c->share_filters = round_up((c->padded + c->shares - 1) / c->shares, step);
  c->shares = (c->padded + c->share_filters - 1) / c->share_filters;
}

bool prepare(Convolution* c, const Settings& s, const char** problem) {
  const Geometry& g = c->g;
  *problem = "there is not enough memory";
  const int threads = thread_count(c->pool);
  const int32_t count = group_filters(g);
  c->depthwise = group_inputs(g) == 1 && g.groups > 1;
  c->image = lay_out(g, c->depthwise);
  c->padded = c->depthwise ? count : padded_filters(g, *c->kernels);
  c->pairs = row_pairs(g);
  c->bits_by_rows = s.result == Result::kBits && (c->depthwise || (g.groups > 1 && count % 16 != 0));
  const size_t row_results = static_cast<size_t>(g.out_w) * g.out_c;
  if (!copy_numbers(c, s)) return false;
  c->limited = is_limited(*c);
  if (!is_packed(c->image, s.input) && !take(&c->packed, image_words(c->image))) return false;
  if ((c->depthwise || c->bits_by_rows) && !take(&c->dots, row_results * threads)) return false;
  if (c->bits_by_rows && !take(&c->values, row_results * threads)) return false;
  if (c->depthwise) {
    if (!take(&c->filters, static_cast<size_t>(count) * taps(g) * words_of(g.in_c))) return false;
    arrange_depthwise(g, s.weights, c->filters);
    return true;
  }
  if (!take(&c->filters, static_cast<size_t>(c->padded) * g.groups * c->pairs * 2) ||
      !take(&c->rows, pixels(g))) {
    return false;
  }
  arrange_filters(g, *c->kernels, s.weights, c->filters);
  if (!add_up_borders(g, s.weights, c->padded, &c->base, c->rows, problem)) return false;
  c->same_base = true;
  for (int32_t i = 0; i < pixels(g); ++i) c->same_base = c->same_base && c->rows[i].base_at == 0;
  *problem = "there is not enough memory";
  divide(c, threads);
  if (!take(&c->pair_at, c->pairs)) return false;
  if (c->image.in_place) {
    find_rows(g, c->image, c->rows);
    find_pairs(g, c->image, c->pair_at);
    return true;
  }
  for (int32_t i = 0; i < c->pairs; ++i) c->pair_at[i] = 2 * i;
  const size_t gathered = static_cast<size_t>(c->block_rows) * threads;
  return take(&c->gathered_rows, gathered) && take(&c->gathered, gathered * c->pairs * 2);
}

void work_packing(void* context, int32_t y, int) {
  Convolution* c = static_cast<Convolution*>(context);
  pack_row(c->g, c->image, *c->kernels, c->numbers, c->from, y, c->packed);
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
  p.limited = c.limited;
  p.result = c.result;
  p.pairs = c.pairs;
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
      const int32_t place = filters == c->padded ? o : o / filters * c->padded + o % filters;
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
    c->kernels->pack_float(values, c->plain_threshold, g.out_w, g.out_c, reinterpret_cast<uint32_t*>(out));
  }
}

const uint32_t* packed_image(const Convolution& c) {
  return c.packed ? c.packed : static_cast<const uint32_t*>(c.from);
}

void work_depthwise(void* context, int32_t y, int thread) {
  Convolution* c = static_cast<Convolution*>(context);
  const size_t size = static_cast<size_t>(c->g.out_w) * c->g.out_c;
  int32_t* dots = c->dots + size * thread;
  depthwise_row(c->g, packed_image(*c), c->filters, y, dots);
  finish_row(c, y, dots, c->values ? c->values + size * thread : nullptr);
}

void multiply_block(Convolution* c, int32_t group, int32_t share, int32_t first, int32_t count, int thread,
                    Result result, void* to, size_t pixel_bytes) {
  const Geometry& g = c->g;
  const int32_t filter = share * c->share_filters;
  const int32_t left = group_filters(g) - filter;
  const size_t place = static_cast<size_t>(group) * c->padded + filter;
  Product p = product_of(*c, group);
  p.pair_at = c->pair_at;
  p.rows = c->rows + first;
  if (c->image.in_place) {
    p.image = packed_image(*c) + static_cast<size_t>(group) * words_of(group_inputs(g));
  } else {
    const int32_t row_words = c->pairs * 2;
    const size_t block = static_cast<size_t>(c->block_rows) * thread;
    uint32_t* words = c->gathered + block * row_words;
    Row* rows = c->gathered_rows + block;
    for (int32_t i = 0; i < count; ++i) {
      rows[i] = {i * row_words, p.rows[i].base_at};
      gather_row(g, c->image, c->kernels->carries, packed_image(*c), group, first + i, words + rows[i].at);
    }
    p.image = words;
    p.rows = rows;
  }
  p.row_count = count;
  p.filters = c->filters + place * c->pairs * 2;
  p.filter_count = left < c->share_filters ? left : c->share_filters;
  p.base = c->base + place;
  p.same_base = c->same_base;
  p.scale += filter;
  p.bias += filter;
  p.threshold += filter;
  p.result = result;
  const size_t before = static_cast<size_t>(group) * group_filters(g) + filter;
  p.out = static_cast<char*>(to) + (result == Result::kBits   ? before / 8
                                    : result == Result::kInt8 ? before
                                                              : before * 4);
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
  multiply_block(c, group, share, first, left < c->block_rows ? left : c->block_rows, thread, c->result,
                 static_cast<char*>(c->to) + first * bytes, bytes);
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
  c->numbers.kind = settings.input;
  c->numbers.zero_point = settings.input_zero_point;
  c->result = settings.result;
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
  void* const owned[] = {c->filters,         c->base,          c->rows,      c->pair_at, c->scale,
                         c->input_threshold, c->bias,          c->threshold, c->packed,  c->plain_threshold,
                         c->gathered,        c->gathered_rows, c->dots,      c->values};
  for (void* memory : owned) free(memory);
  free(c);
}

void convolve(Convolution* c, const void* image, void* out) {
  const Geometry& g = c->g;
  c->from = image;
  c->to = out;
  if (c->packed) run(c->pool, g.in_h, work_packing, c);
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
