#include "repeats.h"

#include "fast_choice.h"
#include "float_model.h"
#include "sections.h"
#include "symbols.h"

namespace kc {
namespace {

constexpr uint64_t kShortestRow = 32;
constexpr uint64_t kShortest = 4;         // of a repeat; nearer neighbours are known anyway
constexpr uint64_t kMaxTried = 1u << 20;  // elements: above, coding twice more takes too long
constexpr size_t kMaxLooked = 1u << 18;   // elements that a repeat is judged by
constexpr int kLargest = 15;

// How far symbols are from the centre, or floats from zero in powers of two; 0 to kLargest.
bool magnitudes(const Plan& plan, const Extent& e, const uint8_t* data, uint8_t* out) {
  const size_t count = static_cast<size_t>(e.count());
  if (e.method == kMethodSymbols) {
    symbols_of(plan, e, data, out);
    for (size_t i = 0; i < count; ++i) {
      const int away = out[i] > e.centre ? out[i] - e.centre : e.centre - out[i];
      out[i] = static_cast<uint8_t>(away > kLargest ? kLargest : away);
    }
    return true;
  }
  if (e.method != kMethodFloats) return false;
  const FloatFormat& f = kFloatFormats[e.format];
  for (size_t i = 0; i < count; ++i) {
    const uint32_t value = load_element(data + i * static_cast<size_t>(f.bytes), f.bytes);
    const uint32_t exponent = value >> f.mantissa_bits & ((1u << f.exponent_bits) - 1);
    const int below = e.highest > static_cast<int>(exponent) ? e.highest - static_cast<int>(exponent) : 0;
    out[i] = static_cast<uint8_t>(below > kLargest ? 0 : kLargest - below);
  }
  return true;
}

// The mean product of the magnitudes of weights `lag` apart, in 1/65536.
uint64_t correlation(const uint8_t* magnitude, size_t rows, size_t row, size_t lag) {
  uint64_t sum = 0, pairs = 0;
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* of_row = magnitude + r * row;
    for (size_t i = lag; i < row; ++i) sum += static_cast<uint64_t>(of_row[i]) * of_row[i - lag];
    pairs += row - lag;
  }
  return pairs == 0 ? 0 : (sum << 16) / pairs;
}

bool mostly_zero(const Array<uint8_t>& magnitude) {
  size_t zeros = 0;
  for (size_t i = 0; i < magnitude.size(); ++i) zeros += magnitude[i] == 0 ? 1 : 0;
  return zeros >= magnitude.size() / 2;
}

}  // namespace

void try_repeats(const Plan& plan, const uint8_t* file, Extent* e) {
  const uint64_t count = e->count();
  const bool flat = e->last == 0 && e->row >= kShortestRow && count >= 2 * e->row;
  if (!flat || count > kMaxTried || e->channels != 0 || e->has_blocks()) return;
  Array<uint8_t> magnitude(static_cast<size_t>(count));
  if (!magnitude.ok() || !magnitudes(plan, *e, file + e->offset, magnitude.data())) return;
  const size_t row = static_cast<size_t>(e->row);
  size_t rows = static_cast<size_t>(count) / row;
  if (rows * row > kMaxLooked) rows = kMaxLooked / row + 1;
  uint64_t best = 0, lag = 0;
  for (size_t divisor = kShortest; divisor <= row / 2; ++divisor) {
    if (row % divisor != 0) continue;
    const uint64_t found = correlation(magnitude.data(), rows, row, divisor);
    if (found > best) best = found, lag = divisor;
  }
  if (lag == 0) return;
  Extent other = *e;
  other.last = lag;
  // Where most is zero, which neighbour says where the rest is makes all the difference, and a
  // fast model doesn't see it.
  const auto cost = mostly_zero(magnitude) ? extent_cost : estimated_cost;
  // The divisor takes a byte or two of the plan.
  if (cost(plan, other, file) + 2 < cost(plan, *e, file)) *e = other;
}

}  // namespace kc
