#include "statistics.h"

#include "bytes.h"
#include "stop.h"

namespace kc {
namespace {

// log2 of a positive integer: its top bit, and a series for the rest, good to 1e-12.
double log2_of(uint64_t x) {
  const int top = 63 - __builtin_clzll(x);
  double m = static_cast<double>(x) / static_cast<double>(1ull << top);  // 1 to 2
  double result = top;
  if (m > 1.41421356) m /= 2, result += 1;
  const double y = (m - 1) / (m + 1), square = y * y;
  double sum = 0, power = y;
  for (int k = 1; k < 24; k += 2, power *= square) sum += power / k;
  return result + 2 * sum / 0.69314718055994530942;
}

// Sorts by 16 bits at a time, lowest first.
template <typename T>
bool radix_sort(T* values, T* other, size_t count, uint32_t* counts) {
  for (size_t shift = 0; shift < 8 * sizeof(T); shift += 16) {
    if (stopped()) return false;
    memset(counts, 0, 65536 * sizeof *counts);
    for (size_t i = 0; i < count; ++i) ++counts[static_cast<uint64_t>(values[i]) >> shift & 65535];
    uint32_t sum = 0;
    for (size_t k = 0; k < 65536; ++k) {
      const uint32_t n = counts[k];
      counts[k] = sum;
      sum += n;
    }
    for (size_t i = 0; i < count; ++i) {
      if (stopped_at(i)) return false;
      other[counts[static_cast<uint64_t>(values[i]) >> shift & 65535]++] = values[i];
    }
    memcpy(static_cast<void*>(values), other, count * sizeof(T));
  }
  return true;
}

struct Tally {
  double weighted = 0;  // of n * log2(n)
  uint64_t distinct = 0;

  void add(uint64_t n) {
    if (n == 0) return;
    ++distinct;
    if (n > 1) weighted += static_cast<double>(n) * log2_of(n);
  }
};

template <typename T>
bool count_sorted(const uint8_t* data, size_t count, uint32_t* counts, Tally* tally) {
  Array<T> values(count), other(count);
  if (!values.ok() || !other.ok() || count > UINT32_MAX) return false;
  for (size_t i = 0; i < count; ++i) {
    T value = 0;
    for (size_t b = 0; b < sizeof(T); ++b) value |= static_cast<T>(data[i * sizeof(T) + b]) << (8 * b);
    values[i] = value;
  }
  if (!radix_sort(values.data(), other.data(), count, counts)) return false;
  size_t first = 0;
  for (size_t i = 1; i <= count; ++i) {
    if (stopped_at(i)) return false;
    if (i == count || values[i] != values[first]) {
      tally->add(i - first);
      first = i;
    }
  }
  return true;
}

}  // namespace

bool count_values(const uint8_t* data, size_t size, int width, bool is_float, kc_statistics* out) {
  memset(out, 0, sizeof *out);
  const size_t bytes = static_cast<size_t>(width), count = size / bytes;
  out->count = count;
  if (count == 0) return true;
  for (size_t i = 0; i < count; ++i) {
    if (stopped_at(i)) return false;
    uint8_t any = 0;
    for (size_t b = 0; b < bytes; ++b) {
      any |= static_cast<uint8_t>(data[i * bytes + b] & (is_float && b + 1 == bytes ? 127 : 255));
    }
    out->zeros += any == 0 ? 1 : 0;
  }
  Array<uint32_t> counts(65536);
  if (!counts.ok()) return false;
  Tally tally;
  if (width <= 2) {
    for (size_t i = 0; i < count; ++i) ++counts[width == 1 ? data[i] : data[2 * i] | data[2 * i + 1] << 8];
    for (size_t k = 0; k < 65536; ++k) tally.add(counts[k]);
  } else if (width == 4 ? !count_sorted<uint32_t>(data, count, counts.data(), &tally)
                        : !count_sorted<uint64_t>(data, count, counts.data(), &tally)) {
    return false;
  }
  out->distinct = tally.distinct;
  out->entropy = log2_of(count) - tally.weighted / static_cast<double>(count);
  if (out->entropy < 0 || tally.distinct == 1) out->entropy = 0;
  return true;
}

}  // namespace kc
