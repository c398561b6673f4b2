#include "patching.h"

#include "dividing.h"
#include "reference_tensor.h"
#include "sections.h"

namespace kc {
namespace {

// Runs in a tensor from which on it is tried to take them as they are; shorter ones the model beside the
// base knows.
constexpr uint64_t kShortestRun = 64;
constexpr uint64_t kLongestRun = 1024;
constexpr uint64_t kLongRest = 1024;            // between runs: it may be something else than the base
constexpr uint64_t kShortestRunOutside = 4096;  // in the graph, which is coded beside the base anyway
constexpr uint64_t kShortestTensor = 128;
constexpr uint64_t kRunCost = 8;  // bytes of an extent in the plan, about
constexpr uint64_t kExtentCost = 12;
constexpr uint64_t kWindowStep = kLargestWindow / 2;
constexpr uint64_t kSmallestRange = 128;  // of the base: shorter tensors count to its graph

// Bytes that the extent takes, about: of a large one its first part stands for all.
uint64_t cost_of(const Plan& plan, const Extent& e, const uint8_t* data) {
  const uint64_t max = section_elements(e.method) * e.element;
  uint64_t fixed = kExtentCost;
  if (!e.identity && e.channels == 0 && !e.grid && !e.has_blocks()) fixed += e.symbols * e.element * 7u / 8;
  if (e.size <= max || e.channels != 0 || e.has_blocks()) {
    const uint64_t cost = extent_cost(plan, e, data);
    return cost == UINT64_MAX ? cost : cost + fixed;
  }
  Extent part = e;
  part.size = max;
  if (part.row > part.count()) part.row = part.count();
  if (part.last > part.row) part.last = 0;
  const uint64_t cost = extent_cost(plan, part, data);
  return cost == UINT64_MAX ? cost : cost * (e.size / max) + fixed;
}

Extent run_of(const BaseMatch& m) {
  Extent e;
  e.method = kMethodBase;
  e.offset = e.place = m.offset;
  e.size = m.size;
  e.base = m.base;
  return e;
}

}  // namespace

bool Patcher::init(const uint8_t* base, size_t base_size) {
  base_ = base;
  base_size_ = base_size;
  walked_ = walker_.walk(base, base_size);
  return matches_.init(base, base_size);
}

// Where the tensor's bytes are the reference's: takes them from the base, with what stands alike before
// it, down to `free`, and after it, up to `next`.
bool Patcher::take_whole(const uint8_t* data, size_t free, size_t next, uint64_t base, Extent* e) const {
  if (memcmp(data + e->offset, base_ + base, static_cast<size_t>(e->size)) != 0) return false;
  while (e->offset > free && base > 0 && data[e->offset - 1] == base_[base - 1]) {
    --e->offset, --base, ++e->size;
  }
  while (e->offset + e->size < next && base + e->size < base_size_ &&
         data[e->offset + e->size] == base_[base + e->size]) {
    ++e->size;
  }
  e->method = kMethodBase;
  e->base = base;
  e->place = e->offset;
  return e->size >= kShortestTensor;
}

// The extent's bytes beside the base, of which those at `base` are expected first.
Extent Patcher::beside(const Extent& e, uint64_t base) const {
  Extent other;
  other.method = kMethodReferenceBytes;
  other.offset = other.place = e.offset;
  other.size = e.size;
  other.stride = e.method == kMethodBytes ? e.stride : e.element;
  other.base = base;
  other.window_size = base_size_;
  if (base_size_ > kLargestWindow) {
    const uint64_t last = (base_size_ - kLargestWindow + kWindowStep - 1) / kWindowStep * kWindowStep;
    other.window = base / kWindowStep * kWindowStep;
    if (other.window > last) other.window = last;
    other.window_size =
        base_size_ - other.window < kLargestWindow ? base_size_ - other.window : kLargestWindow;
  }
  return other;
}

bool Patcher::split(const uint8_t* data, const Extent& whole, bool typed, const List<BaseMatch>& matches,
                    const Plan& plan, List<Extent>* out, uint64_t* cost) const {
  uint64_t at = whole.offset, base = matches[0].base - (matches[0].offset - at);
  List<Extent> rests;  // those that are coded beside the base: they share a section
  *cost = 0;
  for (size_t m = 0; m <= matches.size(); ++m) {
    const uint64_t end = m == matches.size() ? whole.offset + whole.size : matches[m].offset;
    if (end > at) {
      Extent rest = whole;
      rest.offset = rest.place = at;
      rest.size = end - at;
      const Extent other = beside(rest, base < base_size_ ? base : 0);
      // What has a codebook would write it again for each piece.
      bool own = typed && whole.symbols == 0 && rest.size >= kLongRest && rest.size % whole.element == 0 &&
                 (at - whole.offset) % whole.element == 0;
      if (own) {
        if (rest.row > rest.count()) rest.row = rest.count();
        if (rest.last > rest.row) rest.last = 0;
        const uint64_t bytes = cost_of(plan, rest, data);
        own = bytes < cost_of(plan, other, data);
        if (own) *cost += bytes;
      }
      if (!out->push(own ? rest : other) || (!own && !rests.push(other))) return false;
    }
    if (m == matches.size()) break;
    if (!out->push(run_of(matches[m]))) return false;
    *cost += kRunCost;
    at = matches[m].offset + matches[m].size;
    base = matches[m].base + matches[m].size;
  }
  if (rests.size() == 0) return true;
  const uint64_t coded = extents_cost(plan, rests, data);
  if (coded == UINT64_MAX) return false;
  *cost += coded + kExtentCost * rests.size();
  return true;
}

bool Patcher::place(const uint8_t* data, const kc_tensor& tensor, size_t index, bool use, size_t free,
                    size_t next, const Extent& e, const Plan& plan, List<Extent>* out) const {
  const bool typed = use;
  const kc_tensor* reference = walked_ ? find_reference(walker_, base_, tensor, index, data) : nullptr;
  Extent best = e;
  if (reference != nullptr && take_whole(data, free, next, reference->offset, &best)) return out->push(best);
  best = e;
  List<BaseMatch> matches;
  const uint64_t end = tensor.offset + tensor.size;
  if (e.method == kMethodFill && use) return out->push(e);
  if (!matches_.find(data, tensor.offset, end, kShortestRun, &matches)) return false;
  if (e.method == kMethodCopy && use) return out->push(e);
  Extent raw = e;
  raw.method = kMethodRaw;
  raw.element = 1;
  if (!use && matches.size() == 0) {
    // With the graph it is coded beside the base as well; but what is noise only costs there.
    if (tensor.size < kShortestRun || tensor.size > kLargestWindow) return true;
    const uint64_t cost = cost_of(plan, beside(e, reference != nullptr ? reference->offset : 0), data);
    return cost <= tensor.size + kRunCost || out->push(raw);
  }
  uint64_t least = use ? cost_of(plan, e, data) : tensor.size * 3 / 4;
  if (use && least > tensor.size) least = tensor.size, best = raw;
  const bool floats = e.method == kMethodFloats;
  if (use && reference != nullptr && e.channels == 0 && e.in_byte == 1 && !e.has_blocks() &&
      (e.method == kMethodSymbols || floats)) {
    Extent other = e;
    other.method = floats ? kMethodReferenceFloats : kMethodReferenceSymbols;
    other.base = reference->offset;
    const uint64_t cost = cost_of(plan, other, data);
    if (cost < least) least = cost, best = other;
  }
  if (reference != nullptr || matches.size() != 0 || tensor.size <= kLargestWindow) {
    const uint64_t from_match =
        matches.size() == 0 ? 0 : matches[0].base - (matches[0].offset - tensor.offset);
    const uint64_t anchor = reference != nullptr      ? reference->offset
                            : from_match < base_size_ ? from_match
                                                      : 0;
    const Extent other = beside(e, anchor);
    const uint64_t cost = cost_of(plan, other, data);
    if (cost < least) least = cost, best = other, use = true;
  }
  List<Extent> chosen;
  for (uint64_t shortest = kShortestRun; matches.size() != 0 && shortest <= kLongestRun; shortest *= 4) {
    List<BaseMatch> runs;
    List<Extent> pieces;
    uint64_t cost = 0;
    for (size_t i = 0; i < matches.size(); ++i) {
      if (matches[i].size >= shortest && !runs.push(matches[i])) return false;
    }
    if (runs.size() == 0 || !split(data, e, typed, runs, plan, &pieces, &cost)) break;
    if (cost >= least) continue;
    least = cost;
    chosen.clear();
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (!chosen.push(pieces[i])) return false;
    }
  }
  if (chosen.size() == 0) return !use || out->push(best);
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (!out->push(chosen[i])) return false;
  }
  return true;
}

bool Patcher::place_outside(const uint8_t* data, size_t from, size_t to, List<Extent>* out) const {
  List<BaseMatch> matches;
  if (!matches_.find(data, from, to, kShortestRunOutside, &matches)) return false;
  for (size_t i = 0; i < matches.size(); ++i) {
    if (!out->push(run_of(matches[i]))) return false;
  }
  return true;
}

bool Patcher::graph_ranges(List<BaseRange>* ranges) const {
  uint64_t at = 0;
  if (!walked_) return true;
  const List<kc_tensor>& tensors = walker_.tensors();
  for (size_t i = 0; i <= tensors.size(); ++i) {
    const bool last = i == tensors.size();
    if (!last && tensors[i].size < kSmallestRange) continue;
    const uint64_t end = last ? base_size_ : tensors[i].offset;
    if (end > at && !ranges->push({at, end - at})) return false;
    if (!last) at = tensors[i].offset + tensors[i].size;
  }
  if (ranges->size() > kMaxRanges) ranges->clear();
  return true;
}

}  // namespace kc
