#include "fast_choice.h"

#include "choose.h"
#include "dividing.h"
#include "entropy.h"
#include "fast_model.h"
#include "sections.h"
#include "symbols.h"

namespace kc {
namespace {

constexpr uint64_t kMaxTried = 1u << 15;  // elements that contexts are judged by

// The first rows of a larger extent.
Extent sample_of(const Extent& whole) {
  Extent e = whole;
  if (e.count() <= kMaxTried) return e;
  uint64_t unit = e.row != 0 && e.row < kMaxTried ? e.row : 1;
  if (unit % division_unit(e) != 0) unit = division_unit(e);
  if (unit > e.count()) return e;
  const uint64_t elements = unit > kMaxTried ? unit : kMaxTried / unit * unit;
  e.size = elements / e.in_byte * e.element;
  if (e.has_blocks()) cut_blocks(0, elements, &e);
  return e;
}

// Where so few elements are not at the centre, gaps between them are restored many times as fast, and
// general compressors are fast, too.
bool nearly_empty(const Plan& plan, const Extent& e, const uint8_t* file) {
  const size_t count = static_cast<size_t>(e.count());
  Array<uint8_t> symbols(count);
  if (!symbols.ok()) return false;
  symbols_of(plan, e, file + e.offset, symbols.data());
  size_t kept = 0;
  for (size_t i = 0; i < count; ++i) kept += symbols[i] != e.centre ? 1 : 0;
  return kept * 64 < count * e.element;
}

// What of a symbol is as good as noise, as bits of the context byte: the lowest bits of magnitudes, and
// their side, whose counters save less than it takes to learn them, or next to nothing.
uint8_t find_noise(const Plan& plan, const Extent& e, const uint8_t* file) {
  const size_t count = static_cast<size_t>(e.count());
  Array<uint8_t> symbols(count);
  if (!symbols.ok()) return 0;
  symbols_of(plan, e, file + e.offset, symbols.data());
  uint32_t tree[512] = {}, sides[2] = {};  // counts of magnitudes, by side
  for (size_t i = 0; i < count; ++i) {
    const int away = symbols[i] - e.centre;
    if (e.centre_flag && away == 0) continue;
    const int first = e.centre_flag || (away > 0 && e.lowest < e.centre) ? 1 : 0;
    ++tree[away > 0 ? 256 + away - first : -away - first];
    ++sides[away > 0 ? 1 : 0];
  }
  const uint64_t little = count / 256;
  uint8_t found = sides[0] + sides[1] <= entropy_bits(sides, 2) + little ? kFastPlainSide : 0;
  for (size_t bits = 1, nodes = 256; bits <= kMaxFastNoise; ++bits, nodes /= 2) {
    uint64_t saved = 0, cost = 0;
    for (size_t k = 0; k < nodes; ++k) {
      const uint32_t of_node = tree[2 * k] + tree[2 * k + 1];
      if (of_node == 0) continue;
      saved += of_node - entropy_bits(&tree[2 * k], 2);
      cost += log2_256(of_node) / 2 + 256;
    }
    if (saved > cost / 256 + little) break;
    found = static_cast<uint8_t>((found & kFastPlainSide) | bits << kFastNoiseShift);
    for (size_t k = 0; k < nodes; ++k) tree[k] = tree[2 * k] + tree[2 * k + 1];
  }
  return found;
}

}  // namespace

uint64_t estimated_cost(const Plan& plan, const Extent& extent, const uint8_t* file) {
  Extent e = sample_of(extent);
  e.method = e.method == kMethodFloats ? kMethodFastFloats : kMethodFastSymbols;
  e.context = e.last != 0 && e.last < e.row ? kFastLag : kFastScale;
  const uint64_t cost = extent_cost(plan, e, file);
  return cost == UINT64_MAX ? cost : cost * extent.count() / e.count();
}

void use_fast_model(const Plan& plan, const uint8_t* file, Extent* e) {
  switch (e->method) {
    case kMethodSymbols:
      if (e->centre_flag && nearly_empty(plan, *e, file)) return use_plain_method(e);
      e->method = kMethodFastSymbols;
      break;
    case kMethodFloats: e->method = kMethodFastFloats; break;
    case kMethodIntegers: e->method = kMethodFastIntegers; break;
    default: return use_plain_method(e);
  }
  const Extent sample = sample_of(*e);
  const uint8_t noise = e->method == kMethodFastSymbols ? find_noise(plan, sample, file) : 0;
  uint64_t least = UINT64_MAX;
  // Does this context take less than those before?
  const auto try_out = [&](uint8_t context, bool sides) {
    Extent tried = sample;
    tried.context = static_cast<uint8_t>(context | (sides ? noise & ~kFastPlainSide : noise));
    const uint64_t cost = extent_cost(plan, tried, file);
    if (cost >= least) return false;
    least = cost;
    e->context = tried.context;
    return true;
  };
  try_out(kFastAlone, false);
  try_out(kFastScale, false);
  try_out(kFastMeans, false);
  // What was above or below before may tell the side; and two symbols more, where one tells something.
  if (e->count() > e->row && try_out(kFastUp, true)) try_out(kFastUpLeft, true);
  if (e->last != 0 && e->last < e->row && try_out(kFastLag, true)) try_out(kFastLagLeft, true);
}

}  // namespace kc
