// Every kernel that this processor runs against the definition, on random shapes and data.
//   kc_binary_test [CASES [SEED]]
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "convolution.h"
#include "epilogue.h"
#include "reference.h"

#include <initializer_list>

using namespace kc::binary;

namespace {

uint64_t state = 1;
uint32_t random_bits() {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(state >> 33);
}
int32_t between(int32_t low, int32_t high) {
  return low + static_cast<int32_t>(random_bits() % static_cast<uint32_t>(high - low + 1));
}
template <class T>
T* room(size_t count) {
  T* memory = static_cast<T*>(calloc(count + 1, sizeof(T)));
  CHECK(memory != nullptr);
  return memory;
}

Geometry random_geometry() {
  for (;;) {
    Geometry g = {};
    const int32_t kinds[] = {1, 3, 5, between(1, 7)};
    g.filter_h = kinds[between(0, 3)];
    g.filter_w = between(0, 4) ? g.filter_h : between(1, 5);
    g.in_h = between(1, 9);
    g.in_w = between(1, 17);
    g.stride_h = between(1, 3);
    g.stride_w = between(0, 2) ? g.stride_h : between(1, 3);
    g.dilation_h = between(0, 2) ? 1 : between(1, 3);
    g.dilation_w = between(0, 2) ? 1 : between(1, 3);
    const int32_t kind = between(0, 5);
    g.groups = kind == 0 ? between(2, 5) : 1;
    if (kind == 1) {  // depthwise
      g.groups = between(2, 70);
      g.in_c = g.groups;
      g.out_c = g.groups * between(1, 2);
    } else {
      const int32_t wide[] = {32, 64, 128, between(1, 200)};
      g.in_c = g.groups * (g.groups > 1 ? wide[between(0, 3)] / 2 + 1 : wide[between(0, 3)]);
      if (kind == 0 && between(0, 1)) g.in_c = g.groups * 32 * between(1, 2);
      g.out_c = g.groups * (between(0, 3) ? between(1, 40) : 16 * between(1, 4));
    }
    if (kind == 2) g.in_h = g.in_w = g.filter_h = g.filter_w = 1;  // dense
    const int padding = between(0, 2);
    if (padding == 1) pad_same(&g);
    if (padding == 2) {
      g.pad_top = between(0, 3), g.pad_left = between(0, 3);
      g.pad_bottom = between(0, 3), g.pad_right = between(0, 3);
    }
    g.pad_with_ones = between(0, 3) == 0;
    if (complete(&g) == nullptr) return g;
  }
}

// The same layer with each kind of result. `p` holds the numbers that finish a product.
void test_kernels(const Kernels* kernels, Pool* pool, Settings s, Product p, const int32_t* expected,
                  const void* image, char* received) {
  const Geometry& g = s.geometry;
  const size_t out = static_cast<size_t>(pixels(g)) * g.out_c;
  for (int kind = 0; kind < 4; ++kind) {
    s.result = static_cast<Result>(kind);
    if (s.result == Result::kInt8) {
      s.low = p.low = s.low < -128 ? -128.0f : s.low;
      s.high = p.high = s.high > 127 ? 127.0f : s.high;
    }
    const char* problem = nullptr;
    Convolution* c = new_convolution(s, kernels, pool, &problem);
    CHECK(c != nullptr && problem == nullptr);
    memset(received, 0x55, out * 4 + 64);
    convolve(c, image, received);
    free_convolution(c);
    size_t stored = out * 4;
    for (size_t i = 0; i < out; ++i) {
      const int32_t o = static_cast<int32_t>(i % g.out_c);
      const float value = finish(p, expected[i], o);
      if (s.result == Result::kCounts) {
        CHECK(!memcmp(received + i * 4, &expected[i], 4));
      } else if (s.result == Result::kFloat) {
        CHECK(!memcmp(received + i * 4, &value, 4));
      } else if (s.result == Result::kInt8) {
        stored = out;
        CHECK(static_cast<int8_t>(received[i]) == to_int8(value));
      } else {
        stored = static_cast<size_t>(pixels(g)) * words_of(g.out_c) * 4;
        uint32_t word;
        memcpy(&word, received + (i / g.out_c * words_of(g.out_c) + o / 32) * 4, 4);
        const float limit = s.result_threshold ? s.result_threshold[o] : 0.0f;
        CHECK((word >> o % 32 & 1) == static_cast<uint32_t>(!(value >= limit)));
        if (o == g.out_c - 1 && g.out_c % 32) CHECK(word >> g.out_c % 32 == 0);
      }
    }
    for (int i = 0; i < 64; ++i) CHECK(received[stored + i] == 0x55);  // nothing behind it
  }
}

// Padding so far around a small image that it isn't laid out in memory.
Geometry far_padded() {
  Geometry g = {};
  g.in_h = g.in_w = 3, g.in_c = 64, g.out_c = 40;
  g.filter_h = g.filter_w = 3, g.dilation_h = g.dilation_w = 1000;
  g.stride_h = g.stride_w = g.groups = 1;
  g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = 1000;
  CHECK(complete(&g) == nullptr);
  return g;
}

void test_case(const Kernels* const* all, int count, Pool* pool, const Geometry& g) {
  const size_t in = static_cast<size_t>(g.in_h) * g.in_w * g.in_c;
  const size_t out = static_cast<size_t>(pixels(g)) * g.out_c;
  uint8_t* weights = room<uint8_t>(weight_bits(g) / 8 + 1);
  for (size_t i = 0; i < weight_bits(g) / 8 + 1; ++i) {
    weights[i] = static_cast<uint8_t>(random_bits());
  }
  uint8_t* negative = room<uint8_t>(in);
  int32_t* expected = room<int32_t>(out);
  void* image = room<float>(in * 2 + 64);
  float* limits = room<float>(g.in_c);
  const Input input = static_cast<Input>(between(0, 2));
  const bool limited = input == Input::kFloat && between(0, 1);
  const int8_t zero_point = static_cast<int8_t>(between(-128, 127));
  for (int32_t c = 0; c < g.in_c; ++c) {
    limits[c] = limited ? static_cast<float>(between(-2, 2)) : 0.0f;
  }
  for (size_t i = 0; i < in; ++i) {
    const int32_t channel = static_cast<int32_t>(i % g.in_c);
    if (input == Input::kFloat) {
      const float special[] = {0.0f, -0.0f, NAN, -1e-40f};
      const float x = between(0, 9) ? static_cast<float>(between(-8, 8)) / 2 : special[between(0, 3)];
      static_cast<float*>(image)[i] = x;
      negative[i] = !(x >= limits[channel]);
    } else if (input == Input::kInt8) {
      static_cast<int8_t*>(image)[i] = static_cast<int8_t>(between(-128, 127));
      negative[i] = static_cast<int8_t*>(image)[i] < zero_point;
    } else {
      negative[i] = random_bits() & 1;
      uint32_t* words = static_cast<uint32_t*>(image) + i / g.in_c * words_of(g.in_c);
      words[channel / 32] |= static_cast<uint32_t>(negative[i]) << channel % 32;
    }
  }
  reference(g, negative, weights, expected);

  float* scale = room<float>(g.out_c);
  float* bias = room<float>(g.out_c);
  float* threshold = room<float>(g.out_c);
  for (int32_t o = 0; o < g.out_c; ++o) {
    scale[o] = static_cast<float>(between(-999, 999)) / 997;
    bias[o] = static_cast<float>(between(-999, 999)) / 91;
    threshold[o] = static_cast<float>(between(-20, 20));
  }
  Settings s = {};
  s.geometry = g;
  s.input = input;
  s.input_threshold = limited ? limits : nullptr;
  s.input_zero_point = zero_point;
  s.weights = weights;
  s.scale = scale;
  s.bias = between(0, 3) ? bias : nullptr;
  s.result_threshold = between(0, 1) ? threshold : nullptr;
  s.low = between(0, 1) ? -HUGE_VALF : 0.0f;
  s.high = between(0, 1) ? HUGE_VALF : 6.0f;
  Product p = {};
  p.scale = scale;
  p.low = s.low;
  p.high = s.high;
  float* zeros = room<float>(g.out_c);
  p.bias = s.bias ? s.bias : zeros;
  char* received = room<char>(out * 4 + 64);
  for (int k = 0; k < count; ++k) test_kernels(all[k], pool, s, p, expected, image, received);
  void* const owned[] = {weights, negative, expected, image, limits, scale, bias, threshold, zeros, received};
  for (void* memory : owned) free(memory);
}

void test_refusals() {
  Geometry good = {};
  good.in_h = good.in_w = 4, good.in_c = 64, good.out_c = 8, good.filter_h = good.filter_w = 3;
  good.stride_h = good.stride_w = good.dilation_h = good.dilation_w = good.groups = 1;
  Geometry g = good;
  CHECK(complete(&g) == nullptr && g.out_h == 2);
  int32_t Geometry::* fields[] = {&Geometry::in_h,     &Geometry::in_w,     &Geometry::in_c,
                                  &Geometry::out_c,    &Geometry::filter_h, &Geometry::filter_w,
                                  &Geometry::stride_h, &Geometry::stride_w, &Geometry::dilation_h,
                                  &Geometry::groups};
  for (auto field : fields) {
    for (int32_t value : {0, -1, INT32_MIN, 0x7fffffff}) {
      g = good;
      g.*field = value;
      CHECK(complete(&g) != nullptr || value > 0);
      g = good;
      g.*field = value;
      pad_same(&g);
      CHECK(complete(&g) != nullptr || value > 0);
    }
  }
  g = good;
  g.in_c = 65535, g.in_h = g.in_w = 65535;
  CHECK(complete(&g) != nullptr);
  g = good;
  g.in_c = INT32_MAX - 7;  // rounding it up to whole words must not overflow
  CHECK(complete(&g) != nullptr);
  g = good;
  g.groups = 3;
  CHECK(complete(&g) != nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? atoi(argv[1]) : 400;
  state = argc > 2 ? strtoull(argv[2], nullptr, 10) : 1;
  test_refusals();
  const char* names[] = {"portable", "avx2", "avx512", "neon"};
  const Kernels* found[4];
  int count = 0;
  for (const char* name : names) {
    const Kernels* kernels = kernels_named(name);
#if defined(KC_EMULATE_AVX512)
    if (!strcmp(name, "avx512")) kernels = &kAvx512Kernels;
#endif
    if (kernels != nullptr) found[count++] = kernels;
  }
  Pool* pools[] = {new_pool(1), new_pool(3)};
  for (int i = 1; i <= cases; ++i) {
    test_case(found, count, pools[i % 8 == 0], random_geometry());
    if (i % 10000 == 0) printf("%d shapes so far\n", i), fflush(stdout);
  }
  for (Pool* pool : pools) test_case(found, count, pool, far_padded());
  for (Pool* pool : pools) free_pool(pool);
  for (int k = 0; k < count; ++k) {
    printf("%s: %d shapes, four results each, equal to the definition\n", found[k]->name, cases);
  }
  return 0;
}
