// Blocks of levels times a scale: found in what quantizers write, told from all else, restored bit by bit.
#include <math.h>
#include <string.h>

#include <initializer_list>

#include "block_fit.h"
#include "block_search.h"
#include "check.h"
#include "nibbles.h"

namespace kc {
__thread const int32_t* stop_flag = nullptr;  // nobody stops a test
}

using namespace kc;

namespace {

uint32_t state = 9;
uint32_t next_random() { return state = state * 1664525u + 1013904223u, state >> 8; }
float next_weight() {  // of a bell curve, about
  float sum = 0;
  for (int k = 0; k < 6; ++k) sum += static_cast<float>(next_random()) / 16777216.0f - 0.5f;
  return sum * 0.07f;
}

constexpr int kRows = 48, kColumns = 96;
constexpr size_t kCount = kRows * kColumns;

struct Made {
  float values[kCount];
  uint8_t bytes[4 * kCount];

  kc_tensor tensor(int format) {
    kc_tensor t;
    memset(&t, 0, sizeof t);
    t.rank = 2;
    t.shape[0] = kRows, t.shape[1] = kColumns;
    for (size_t i = 0; i < kCount; ++i) {
      const uint32_t bits = nearest_element(values[i], format);
      if (format == 2) store32(bytes + 4 * i, bits);
      if (format != 2)
        bytes[2 * i] = static_cast<uint8_t>(bits), bytes[2 * i + 1] = static_cast<uint8_t>(bits >> 8);
    }
    return t;
  }
};
Made made;

float as_half(float x) {
  const uint32_t bits = nearest_element(x, 0);
  const uint8_t two[2] = {static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8)};
  return block_value(two, 0, 0);
}

// The quantizers: each turns the `n` weights of a block, `stride` apart, into what it keeps of them.
using Quantizer = void (*)(float* w, size_t n, size_t stride);

float reach_of(const float* w, size_t n, size_t stride) {
  float reach = 0;
  for (size_t i = 0; i < n; ++i) reach = fabsf(w[i * stride]) > reach ? fabsf(w[i * stride]) : reach;
  return reach;
}

template <int kTop, bool kHalf>
void scaled(float* w, size_t n, size_t stride) {  // zeros keep their sign
  const float exact = reach_of(w, n, stride) / kTop, scale = kHalf ? as_half(exact) : exact;
  for (size_t i = 0; i < n; ++i) w[i * stride] = rintf(w[i * stride] / exact) * scale;
}

void q4_0(float* w, size_t n, size_t stride) {  // the largest is -8, and the scale may be below zero
  float largest = 0;
  for (size_t i = 0; i < n; ++i) largest = fabsf(w[i * stride]) > fabsf(largest) ? w[i * stride] : largest;
  const float scale = as_half(largest / -8);
  for (size_t i = 0; i < n; ++i) {
    const float q = floorf(w[i * stride] / scale + 8.5f);
    w[i * stride] = ((q > 15 ? 15 : q < 0 ? 0 : q) - 8) * scale;
  }
}

template <bool kHalf>
void q4_1(float* w, size_t n, size_t stride) {
  float least = w[0], max = w[0];
  for (size_t i = 0; i < n; ++i) {
    least = w[i * stride] < least ? w[i * stride] : least;
    max = w[i * stride] > max ? w[i * stride] : max;
  }
  const float exact = (max - least) / 15, scale = kHalf ? as_half(exact) : exact,
              offset = kHalf ? as_half(least) : least;
  for (size_t i = 0; i < n; ++i) {
    const float product = rintf((w[i * stride] - least) / exact) * scale;
    w[i * stride] = product + offset;
  }
}

void nf4(float* w, size_t n, size_t stride) {
  constexpr float kLevels[16] = {
      -1.0f,      -0.6961928f, -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f, -0.09105004f, 0.0f,
      0.0795803f, 0.1609302f,  0.2461123f,   0.33791524f, 0.44070983f,  0.562617f,    0.72295684f,  1.0f};
  const float scale = reach_of(w, n, stride);
  for (size_t i = 0; i < n; ++i) {
    int best = 0;
    for (int k = 1; k < 16; ++k) {
      if (fabsf(kLevels[k] * scale - w[i * stride]) < fabsf(kLevels[best] * scale - w[i * stride])) best = k;
    }
    w[i * stride] = kLevels[best] * scale;
  }
}

void make(Quantizer quantize, const BlockOrder& order) {
  for (size_t r = 0; r < kRows; ++r) {
    const float spread = 0.5f + static_cast<float>(next_random() % 64) / 32;
    for (size_t c = 0; c < kColumns; ++c) made.values[r * kColumns + c] = next_weight() * spread;
  }
  order.each(kCount, [&](size_t, size_t first, size_t n) {
    return quantize(made.values + first, n, order.stride), true;
  });
}

bool find(int format, FoundBlocks* found) {
  const kc_tensor t = made.tensor(format);
  return find_blocks(t, made.bytes, kCount, format, found);
}

void test_found(Quantizer quantize, const BlockOrder& order, int format, size_t max_symbols, bool offsets,
                bool listed) {
  make(quantize, order);
  FoundBlocks found;
  CHECK(find(format, &found));
  CHECK(found.order.stride == order.stride && found.order.block == order.block);
  CHECK(found.symbols <= max_symbols && found.has_offsets == offsets && found.listed == listed);
  Blockwise parts = found.parts(format);
  static uint8_t symbols[kCount];
  static uint8_t signs[kCount / 8 + 1];
  memset(signs, 0, sizeof signs);
  CHECK(find_block_symbols(parts, made.bytes, kCount, symbols));
  find_zero_signs(parts, made.bytes, kCount, symbols, signs);
  parts.zero_signs = signs;
  static uint8_t restored[4 * kCount];
  const size_t size = (format == 2 ? 4 : 2) * kCount;
  // As decoders do it: the symbols stand at the end of the place that the elements fill.
  memcpy(restored + size - kCount, symbols, kCount);
  CHECK(restore_blocks(parts, restored + size - kCount, kCount, restored));
  CHECK(memcmp(restored, made.bytes, size) == 0);

  // What no writer writes.
  symbols[7] = static_cast<uint8_t>(found.symbols);
  CHECK(found.symbols == 256 || !restore_blocks(parts, symbols, kCount, restored));
  symbols[7] = 0;
  for (const uint32_t bits : {0u, 1u, 0x7F800000u, 0x7FC00000u, 0x80000000u}) {
    const uint32_t before = load32(found.scales.data() + 8);
    store32(found.scales.data() + 8, bits);
    CHECK(!restore_blocks(parts, symbols, kCount, restored));
    store32(found.scales.data() + 8, before);
  }
  parts.order.axis += 1;
  CHECK(!restore_blocks(parts, symbols, kCount, restored));
}

void test_one_element_off(Quantizer quantize, const BlockOrder& order) {
  make(quantize, order);
  made.values[kCount - 40] =
      float_of(bits_of(made.values[kCount - 40] == 0 ? 0.001f : made.values[kCount - 40]) + 1);
  FoundBlocks found;
  CHECK(!find(2, &found));
}

void test_others() {
  FoundBlocks found;
  for (int format = 0; format < 3; ++format) {
    for (float& value : made.values) value = next_weight();
    CHECK(!find(format, &found));
  }
  for (float& value : made.values) value = 0;
  CHECK(!find(2, &found));
  make(scaled<7, false>, {32, 1, kColumns});
  made.values[100] = INFINITY;
  CHECK(!find(2, &found));
  made.values[100] = 1e-42f;
  CHECK(!find(2, &found));
}

void test_blocks_of_nothing() {
  make(scaled<7, false>, {32, 1, kColumns});
  for (size_t i = 0; i < 64; ++i) made.values[i] = 0, made.values[960 + i] = -0.0f;
  FoundBlocks found;
  CHECK(find(2, &found));
  CHECK(is_normal(load32(found.scales.data())));
}

void test_order() {
  const BlockOrder order = {5, 3, 12};  // the last of an axis has 2
  CHECK(order.fits(72) && !order.fits(71) && !order.fits(0));
  CHECK(order.blocks(72) == 18);
  size_t seen = 0, times[72] = {};
  order.each(72, [&](size_t number, size_t first, size_t n) {
    CHECK(number == seen++);
    for (size_t i = first; i < first + 3 * n; i += 3) {
      ++times[i];
      CHECK(order.block_of(i) == number);
    }
    return true;
  });
  CHECK(seen == 18);
  for (const size_t n : times) CHECK(n == 1);
  const BlockOrder none[] = {{0, 1, 4}, {1, 0, 4}, {5, 1, 4}, {1, UINT64_MAX, 2}, {1, 2, UINT64_MAX}};
  for (const BlockOrder& o : none) CHECK(!o.fits(72));
}

// The nearest of all halves, by trying them.
void test_halves() {
  for (int k = 0; k < 3000; ++k) {
    uint32_t bits = next_random() << 8 ^ next_random();
    if (k % 3 != 0) bits = (bits & 0x80007FFF) | (96 + next_random() % 48) << 23 | (next_random() & 0x7FE000);
    if (k % 5 == 0) bits &= ~0xFFFu;  // ties, about
    const float x = float_of(bits);
    if (!is_normal(bits) || fabsf(x) >= 65520) continue;
    uint32_t best = 0;
    double least = 1e9;
    for (uint32_t half = 0; half < 0x7C00; ++half) {
      const uint8_t two[2] = {static_cast<uint8_t>(half), static_cast<uint8_t>(half >> 8)};
      const double away = fabs(fabs(static_cast<double>(x)) - static_cast<double>(block_value(two, 0, 0)));
      if (away < least || (away == least && (half & 1) == 0)) best = half, least = away;
    }
    CHECK(nearest_element(x, 0) == (best | (bits >> 16 & 0x8000)));
  }
  CHECK(nearest_element(65520.0f, 0) == 0x7C00 && nearest_element(-1e30f, 0) == 0xFC00);
  CHECK(nearest_element(1.0f + 1.0f / 256, 1) == 0x3F80 && nearest_element(1.0f + 3.0f / 256, 1) == 0x3F82);
}

void test_simplest() {
  float found = 0;
  CHECK(simplest_between(0.9, 1.1, &found) && found == 1.0f);
  CHECK(simplest_between(1.26, 1.4, &found) && found == 1.375f);
  CHECK(!simplest_between(1.00000001, 1.00000002, &found));
  CHECK(!simplest_between(2, 1, &found) && !simplest_between(0, 1, &found));
}

void test_nibbles() {
  const uint8_t bytes[3] = {0x1F, 0x80, 0xE4};
  uint8_t symbols[12], back[3];
  split_bytes(bytes, 3, 4, 8, symbols);
  CHECK(memcmp(symbols, "\7\x9\x8\0\xC\6", 6) == 0);
  CHECK(join_bytes(symbols, 3, 4, 8, back) && memcmp(back, bytes, 3) == 0);
  split_bytes(bytes, 3, 2, 0, symbols);
  CHECK(memcmp(symbols, "\3\3\1\0\0\0\0\2\0\1\2\3", 12) == 0);
  CHECK(join_bytes(symbols, 3, 2, 0, back) && memcmp(back, bytes, 3) == 0);
  symbols[11] = 4;
  CHECK(!join_bytes(symbols, 3, 2, 0, back));
}

}  // namespace

int main() {
  test_order();
  test_halves();
  test_simplest();
  test_nibbles();
  constexpr int kHalves = 0, kBrain = 1, kFloats = 2;
  for (const uint64_t block : {8, 16, 32, 96})
    test_found(scaled<7, false>, {block, 1, kColumns}, kFloats, 15, false, false);
  for (const uint64_t block : {16, 24, 48})
    test_found(scaled<7, true>, {block, kColumns, kRows}, kFloats, 15, false, false);
  test_found(scaled<1, false>, {32, 1, kColumns}, kFloats, 3, false, false);
  test_found(scaled<3, false>, {32, 1, kColumns}, kBrain, 7, false, false);
  test_found(scaled<7, false>, {32, 1, kColumns}, kHalves, 15, false, false);
  test_found(scaled<127, false>, {32, 1, kColumns}, kFloats, 255, false, false);
  test_found(scaled<127, true>, {96, 1, kColumns}, kHalves, 255, false, false);
  test_found(q4_0, {32, 1, kColumns}, kFloats, 17, false, false);
  test_found(q4_0, {32, 1, kColumns}, kHalves, 17, false, false);
  test_found(q4_1<true>, {32, 1, kColumns}, kFloats, 16, true, false);
  test_found(q4_1<true>, {32, kColumns, kRows}, kHalves, 16, true, false);
  test_found(q4_1<false>, {16, 1, kColumns}, kFloats, 16, true, false);
  test_found(nf4, {32, 1, kColumns}, kFloats, 17, false, true);
  test_found(nf4, {16, kColumns, kRows}, kFloats, 17, false, true);
  test_one_element_off(scaled<7, false>, {32, 1, kColumns});
  test_one_element_off(q4_1<true>, {32, 1, kColumns});
  test_one_element_off(nf4, {32, 1, kColumns});
  test_blocks_of_nothing();
  test_others();
  return 0;
}
