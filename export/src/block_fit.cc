#include "block_fit.h"

namespace kc {
namespace {

constexpr int kMaxInteger = 255;
// Nearer to an integer than this, in halves of the distance between two: else it tells nothing.
constexpr double kMaxOff = 0.25;
constexpr uint32_t kMaxTried = 64;  // scales of a block

int mantissa_bits(int format) { return format == 2 ? 23 : (format == 0 ? 10 : 7); }

double power_of_two(int exponent) {
  const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
  double value;
  memcpy(&value, &bits, 8);
  return value;
}

// How far a value may be off, as a share of its size, and at least.
double unit_of(int format) { return power_of_two(-mantissa_bits(format) - 1); }
double least_of(int format) { return format == 0 ? power_of_two(-25) : 0; }

bool gives_back(const Block& b, const Fit& fit, bool with_offset, double share) {
  for (size_t i = 0; i < b.count; ++i) {
    const float x = b.values[i];
    const double level = with_offset ? x - static_cast<double>(fit.offset) : x;
    const int n = nearest_integer(level * share);
    const uint32_t value =
        block_element(static_cast<float>(n), fit.scale, with_offset ? &fit.offset : nullptr, b.format);
    const bool zeros = !with_offset && n == 0 && x == 0;
    if (!zeros && value != nearest_element(x, b.format)) return false;
  }
  return true;
}

}  // namespace

float block_value(const uint8_t* data, size_t i, int format) {
  if (format == 2) return float_of(load32(data + 4 * i));
  const uint32_t bits = load16(data + 2 * i);
  if (format == 1) return float_of(bits << 16);
  const uint32_t sign = (bits & 0x8000) << 16, rest = bits & 0x7FFF;
  if (rest >= 0x7C00) return float_of(sign | 0x7F800000 | (rest & 0x3FF) << 13);
  if (rest >= 0x400) return float_of(sign | ((rest << 13) + 0x38000000));
  return float_of(sign | bits_of(static_cast<float>(rest) * static_cast<float>(power_of_two(-24))));
}

double half_place(double x, int format) {
  int exponent = static_cast<int>(bits_of(static_cast<float>(size_of(x))) >> 23) - 127;
  if (format == 0 && exponent < -14) exponent = -14;
  return power_of_two(exponent - mantissa_bits(format) - 1);
}

// Ties go to the even one: its ends count, those of an odd one don't.
double inwards(double x, int format) {
  const uint32_t last = 1u << (23 - mantissa_bits(format));
  return (bits_of(static_cast<float>(x)) & last) != 0 ? 1e-13 : -1e-13;
}

double lower_end(double x, int format) {
  const bool power = (bits_of(static_cast<float>(x)) & 0x7FFFFF) == 0;
  return (x - half_place(x, format) / (power ? 2 : 1)) * (1 + inwards(x, format));
}

double upper_end(double x, int format) { return (x + half_place(x, format)) * (1 - inwards(x, format)); }

bool simplest_between(double low, double high, float* found) {
  if (!(low > 1e-37) || !(high < 1e38) || low > high) return false;
  uint32_t from = bits_of(static_cast<float>(low)), to = bits_of(static_cast<float>(high));
  if (static_cast<double>(float_of(from)) < low) ++from;
  if (static_cast<double>(float_of(to)) > high) --to;
  if (from > to) return false;
  const int kept = 31 - __builtin_clz((from - 1) ^ to);
  *found = float_of(to >> kept << kept);
  return true;
}

bool Block::look(const float* from, size_t n, int of) {
  values = from, count = n, format = of;
  smallest = largest = from[0];
  nonzero = 0;
  plain_zero = negative_zero = false;
  for (size_t i = 0; i < n; ++i) {
    const float x = from[i];
    if (x == 0) {
      (is_negative(x) ? negative_zero : plain_zero) = true;
    } else if (!is_normal(bits_of(x))) {
      return false;
    } else {
      ++nonzero;
    }
    smallest = x < smallest ? x : smallest;
    largest = x > largest ? x : largest;
  }
  return true;
}

bool fit_scale(const Block& b, int max, Fit* fit) {
  const double share = max / b.reach();
  const double off = 2.2 * unit_of(b.format) * max + 2 * least_of(b.format) * share;
  if (off > kMaxOff) return false;
  for (size_t i = 0; i < b.count; ++i) {
    const double level = b.values[i] * share;
    if (size_of(level - nearest_integer(level)) > off) return false;
  }
  double low = 0, high = 1e39;
  fit->lowest = fit->highest = 0;
  for (size_t i = 0; i < b.count; ++i) {
    const double x = size_of(b.values[i]);
    const int n = nearest_integer(b.values[i] * share), size = n < 0 ? -n : n;
    fit->lowest = n < fit->lowest ? n : fit->lowest;
    fit->highest = n > fit->highest ? n : fit->highest;
    if (size == 0) {
      if (x != 0) return false;
      continue;
    }
    const double from = lower_end(x, b.format) / size, to = upper_end(x, b.format) / size;
    low = from > low ? from : low;
    high = to < high ? to : high;
  }
  return simplest_between(low, high, &fit->scale) && gives_back(b, *fit, false, share);
}

bool fit_offset(const Block& b, int max, bool nearly, Fit* fit) {
  const double least = b.smallest, span = b.largest - least, share = max / span;
  const double off = share * (2.2 * unit_of(b.format) * (b.reach() + span) + 2 * least_of(b.format));
  if (off > kMaxOff || b.negative_zero) return false;
  for (size_t i = 0; i < b.count; ++i) {
    const double level = (b.values[i] - least) * share;
    if (size_of(level - nearest_integer(level)) > off) return false;
  }
  double low = 0, high = 1e39;
  for (size_t i = 0; i < b.count; ++i) {
    const double x = b.values[i];
    const int n = nearest_integer((x - least) * share);
    if (n == 0) continue;
    // The product is rounded to float32, and the sum to the element.
    const double around = (x == 0 ? 0 : half_place(x, b.format)) + half_place(n / share, 2);
    const double from = (x - least - around) / n, to = (x - least + around) / n;
    low = from > low ? from : low;
    high = to < high ? to : high;
  }
  fit->offset = b.smallest;
  fit->lowest = 0, fit->highest = max;
  const bool found = simplest_between(low, high, &fit->scale);
  if (nearly) {
    if (!found) fit->scale = static_cast<float>(1 / share);
    return is_normal(bits_of(fit->scale));
  }
  if (!found) return false;
  if (gives_back(b, *fit, true, share)) return true;
  // Then from the middle on, where there are few between the ends all of them.
  const uint32_t from = bits_of(static_cast<float>(low)), to = bits_of(static_cast<float>(high));
  const uint32_t steps = to - from < kMaxTried ? to - from : kMaxTried;
  for (uint32_t k = 0; k <= steps; ++k) {
    fit->scale = float_of((to - from) / 2 + from + ((k & 1) != 0 ? k / 2 + 1 : 0 - k / 2));
    if (is_normal(bits_of(fit->scale)) && gives_back(b, *fit, true, share)) return true;
  }
  return false;
}

namespace {

// What all integers of a block are multiples of; 1 where they are all of one size.
int common_factor(const Block& b, const Fit& fit) {
  int factor = 0;
  bool differ = false;
  for (size_t i = 0; i < b.count && factor != 1; ++i) {
    int n = nearest_integer((static_cast<double>(b.values[i]) - fit.offset) / fit.scale);
    n = n < 0 ? -n : n;
    if (n == 0) continue;
    differ = differ || (factor != 0 && n != factor);
    while (n != 0) {
      const int rest = factor % n;
      factor = n, n = rest;
    }
  }
  return differ ? factor : 1;
}

}  // namespace

bool fit_block(const Block& b, bool with_offset, int hint, bool part, Fit* fit) {
  const auto fits = [&](int max) {
    return with_offset ? fit_offset(b, max, part, fit) : fit_scale(b, max, fit);
  };
  if (hint != 0 && fits(hint)) {
    // Of the hint's multiples, too, that it was made for.
    const int factor = common_factor(b, *fit);
    if (factor == 1 || hint % factor != 0 || fits(hint / factor)) return true;
    return fits(hint);
  }
  for (int max = 1; max <= kMaxInteger; ++max) {
    if (fits(max)) return true;
  }
  return false;
}

}  // namespace kc
