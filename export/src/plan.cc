#include "plan.h"

#include "channel_book.h"
#include "container.h"
#include "light_model.h"

namespace kc {
namespace {

constexpr uint8_t kNewSection = 0x80;
constexpr uint8_t kIdentity = 1, kCentreFlag = 2, kFlip = 4, kChannels = 8, kInterleaved = 16, kGrid = 32;
constexpr uint8_t kSparse = 4, kSignedZeros = 8;  // beside the number of the float format

bool uses_codebook(uint8_t method) {
  return method == kMethodSymbols || method == kMethodHuffman || method == kMethodGaps ||
         method == kMethodPartner || method == kMethodLight;
}

bool has_float_fields(uint8_t method) {
  return method == kMethodFloats || method == kMethodPlanes || method == kMethodLightFloats;
}

uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Where an extent's bytes would stand in the base if nothing had moved since the extent before that
// names some; of version 2 the place itself is written.
class Expected {
 public:
  explicit Expected(const Plan& plan) : relative_(plan.version >= kBesideVersion) {}

  void write(const Extent& e, Bytes* out) {
    if (!relative_) return out->varint(e.base);
    out->varint(zigzag(static_cast<int64_t>(e.base - e.offset - shift_)));
    shift_ = e.base - e.offset;
  }

  // `e->offset` is known by now.
  void read(Reader* in, Extent* e) {
    e->base = in->varint();
    if (!relative_) return;
    shift_ += static_cast<uint64_t>(unzigzag(e->base));
    e->base = e->offset + shift_;
  }

 private:
  bool relative_;
  uint64_t shift_ = 0;
};

void write_extent(const Plan& plan, const Extent& e, Expected* bases, Bytes* out) {
  out->varint(e.gap);
  out->varint(e.size_known ? e.size : 0);
  out->push(static_cast<uint8_t>(e.method | (e.new_section ? kNewSection : 0)));
  if (is_light(e.method)) out->push(e.context);
  switch (e.method) {
    case kMethodFill: out->push(e.fill); return;
    case kMethodCopy: out->varint(e.back); return;
    case kMethodBase: bases->write(e, out); return;
    case kMethodBeside:
      bases->write(e, out);
      out->push(e.stride);
      if (!e.new_section) return;
      out->varint(e.window);
      out->varint(e.window_size);
      return;
    case kMethodDrift:
      bases->write(e, out);
      out->push(e.element);
      out->varint(e.last);
      out->varint(e.row);
      return;
    case kMethodBytes: out->push(e.stride); return;
    case kMethodIntegers:
    case kMethodLightIntegers: out->push(e.highest); return;
    case kMethodFloats:
    case kMethodPlanes:
    case kMethodLightFloats:
      out->push(static_cast<uint8_t>(e.format | (e.sparse ? kSparse : 0) |
                                     (e.signed_zeros ? kSignedZeros : 0)));
      out->varint(e.last);
      out->varint(e.row);
      out->push(e.lowest);
      out->push(e.highest);
      out->push(e.modelled);
      out->push(e.zeros);
      return;
    default: break;
  }
  if (!uses_codebook(e.method)) return;
  if (e.method == kMethodPartner) bases->write(e, out);
  out->push(e.element);
  out->push(static_cast<uint8_t>((e.identity ? kIdentity : 0) | (e.centre_flag ? kCentreFlag : 0) |
                                 (e.flip ? kFlip : 0) | (e.channels != 0 ? kChannels : 0) |
                                 (e.interleaved ? kInterleaved : 0) | (e.grid ? kGrid : 0)));
  out->varint(e.last);
  out->varint(e.row);
  out->push(e.centre);
  out->push(e.lowest);
  out->push(e.highest);
  if (e.channels != 0) {
    out->varint(e.channels);
    out->append(plan.tables.data() + e.table, e.table_size);
  } else if (e.grid) {
    for (int b = 0; b < e.element; ++b) out->push(static_cast<uint8_t>(e.step >> (8 * b)));
    out->varint(zigzag(e.first_multiple));
  } else if (!e.identity) {
    out->append(plan.codebooks.data() + e.codebook, static_cast<size_t>(e.symbols) * e.element);
  }
}

bool is_method(uint8_t method, uint32_t version) {
  if (method == kMethodIntegers) return version >= kGridVersion;
  if (is_light(method)) return version >= kLightVersion;
  if (method == kMethodBeside) return version >= kBesideVersion;
  return method < kMethodLight;
}

bool read_extent(Reader* in, Plan* plan, Expected* bases, Extent* e) {
  e->gap = in->varint();
  e->size = in->varint();
  e->size_known = e->size != 0;
  e->offset += e->gap;
  uint8_t method = in->byte();
  e->new_section = (method & kNewSection) != 0;
  e->method = method & 0x7F;
  if (!is_method(e->method, plan->version)) return false;
  if (e->new_section && !needs_section(e->method)) return false;
  if (!plan->is_patch && (uses_base(e->method) || e->method == kMethodBeside)) return false;
  // What says where bytes stand in the base counts on their place in the file.
  if (plan->is_patch && plan->version >= kBesideVersion && !e->size_known) return false;
  if (is_light(e->method)) {
    e->context = in->byte();
    if (!is_light_context(e->context)) return false;
  }
  switch (e->method) {
    case kMethodFill: e->fill = in->byte(); return true;
    case kMethodCopy: e->back = in->varint(); return true;
    case kMethodBase: bases->read(in, e); return true;
    case kMethodBeside:
      bases->read(in, e);
      e->stride = in->byte();
      if (e->new_section) {
        e->window = in->varint();
        e->window_size = in->varint();
      }
      return e->stride >= 1;
    case kMethodDrift:
      bases->read(in, e);
      e->element = in->byte();
      e->last = in->varint();
      e->row = in->varint();
      return e->element == 2 || e->element == 4;
    case kMethodBytes: e->stride = in->byte(); return e->stride >= 1;
    case kMethodIntegers:
    case kMethodLightIntegers:
      e->highest = in->byte();
      e->element = 4;
      return e->highest >= 1 && e->highest <= 32;
    case kMethodFloats:
    case kMethodPlanes:
    case kMethodLightFloats:
      e->format = in->byte();
      e->sparse = (e->format & kSparse) != 0;
      e->signed_zeros = (e->format & kSignedZeros) != 0;
      e->format &= static_cast<uint8_t>(~(kSparse | kSignedZeros));
      e->last = in->varint();
      e->row = in->varint();
      e->lowest = in->byte();
      e->highest = in->byte();
      e->modelled = in->byte();
      e->zeros = in->byte();
      return e->format < 3 && e->lowest <= e->highest && (e->sparse || !e->signed_zeros) &&
             (!e->sparse || e->highest - e->lowest < 255);
    default: break;
  }
  if (!uses_codebook(e->method)) return true;
  if (e->method == kMethodPartner) bases->read(in, e);
  e->element = in->byte();
  uint8_t flags = in->byte();
  e->identity = (flags & kIdentity) != 0;
  e->centre_flag = (flags & kCentreFlag) != 0;
  e->flip = (flags & kFlip) != 0;
  e->last = in->varint();
  e->row = in->varint();
  e->centre = in->byte();
  e->lowest = in->byte();
  e->highest = in->byte();
  const bool by_channel = (flags & kChannels) != 0;
  e->interleaved = (flags & kInterleaved) != 0;
  e->grid = (flags & kGrid) != 0;
  if (flags > (plan->version >= kGridVersion ? 63 : 31) || (e->grid && (by_channel || e->identity)) || (e->interleaved && !by_channel) || (by_channel && e->identity) ||
      (by_channel && e->method == kMethodPartner) ||
      (e->element != 1 && e->element != 2 && e->element != 4)) return false;
  if (e->lowest > e->centre || e->centre > e->highest) return false;
  if (e->identity) return e->element == 1;
  if (e->flip || e->lowest != 0) return false;
  e->symbols = static_cast<uint16_t>(e->highest + 1);
  if (by_channel) {
    e->codebook = plan->codebooks.size();
    e->channels = in->varint();
    return e->channels <= kMostModelledBytes &&
           read_channel_books(in, e->symbols, static_cast<size_t>(e->channels), e->element,
                              &plan->codebooks);
  }
  if (e->grid) {
    for (int b = 0; b < e->element; ++b) e->step |= static_cast<uint32_t>(in->byte()) << (8 * b);
    e->first_multiple = unzigzag(in->varint());
    e->codebook = plan->codebooks.size();
    return append_grid(e->step, e->first_multiple, e->symbols, e->element, &plan->codebooks);
  }
  size_t bytes = static_cast<size_t>(e->symbols) * e->element;
  const uint8_t* values = in->take(bytes);
  if (values == nullptr) return false;
  e->codebook = plan->codebooks.size();
  plan->codebooks.append(values, bytes);
  return true;
}

float load_float(const uint8_t* p) {
  uint32_t bits = load32(p);
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

bool usual(uint32_t bits) {
  uint32_t exponent = bits >> 23 & 255;
  return exponent != 0 && exponent != 255;
}

// The sources are final when a rule is turned back: rules go in order, and the packer turns them
// in the opposite order.
uint32_t product(const Rule& rule, const uint8_t* skeleton, uint64_t i) {
  const uint8_t* weights = skeleton + rule.weights + 4 * (rule.weights_single ? 0 : i);
  float predicted = load_float(skeleton + rule.input) * load_float(weights);
  uint32_t bits;
  memcpy(&bits, &predicted, 4);
  // Not-a-numbers and subnormal values depend on the machine and its modes: nothing is predicted.
  return usual(load32(skeleton + rule.input)) && usual(load32(weights)) && usual(bits) ? bits : 0;
}

void turn_rule(const Rule& rule, uint8_t* skeleton) {
  for (uint64_t i = 0; i < rule.count; ++i) {
    uint8_t* at = skeleton + rule.target + 4 * i;
    store32(at, load32(at) ^ product(rule, skeleton, i));
  }
}

bool inside(uint64_t start, uint64_t count, size_t size) {
  return start <= size && (size - start) / 4 >= count;
}

bool meet(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count) {
  return a < b + 4 * b_count && b < a + 4 * a_count;
}

}  // namespace

void write_plan(const Plan& plan, Bytes* out) {
  out->varint(plan.extents.size());
  out->varint(plan.rules.size());
  Expected bases(plan);
  for (size_t i = 0; i < plan.extents.size(); ++i) write_extent(plan, plan.extents[i], &bases, out);
  uint64_t before = 0;
  for (size_t i = 0; i < plan.rules.size(); ++i) {
    const Rule& rule = plan.rules[i];
    out->varint(rule.target - before);
    out->varint(rule.count * 2 + (rule.weights_single ? 1 : 0));
    out->varint(zigzag(static_cast<int64_t>(rule.weights - rule.target)));
    out->varint(zigzag(static_cast<int64_t>(rule.input - rule.target)));
    before = rule.target;
  }
}

bool read_plan(const uint8_t* data, size_t size, Plan* plan) {
  Reader in(data, size);
  uint64_t extents = in.varint(), rules = in.varint();
  if (extents > kMostExtents || rules > kMostRules || extents > size || rules > size) return false;
  uint32_t open[kMethodCount] = {};
  Expected bases(*plan);
  uint64_t offset = 0;
  for (uint64_t i = 0; i < extents && !in.bad(); ++i) {
    Extent e;
    e.offset = offset;
    if (!read_extent(&in, plan, &bases, &e)) return false;
    offset = e.offset + e.size;
    if (needs_section(e.method)) {
      // Extents of one method share a section until one of them opens the next.
      if (e.new_section) open[e.method] = ++plan->sections;
      const uint32_t most = plan->version >= kBesideVersion ? kMostSections : kMostSectionsBefore;
      if (open[e.method] == 0 || plan->sections > most) return false;
      e.section = open[e.method];
    }
    if (!plan->extents.push(e)) return false;
  }
  uint64_t before = 0;
  for (uint64_t i = 0; i < rules && !in.bad(); ++i) {
    Rule rule;
    rule.target = before + in.varint();
    uint64_t count = in.varint();
    rule.count = count >> 1;
    rule.weights_single = (count & 1) != 0;
    rule.weights = rule.target + static_cast<uint64_t>(unzigzag(in.varint()));
    rule.input = rule.target + static_cast<uint64_t>(unzigzag(in.varint()));
    before = rule.target;
    if (!plan->rules.push(rule)) return false;
  }
  return !in.bad() && in.left() == 0 && !plan->codebooks.failed() && link_sections(plan);
}

bool link_sections(Plan* plan) {
  Array<uint32_t> last(plan->sections);
  if (!last.ok()) return false;
  plan->firsts.clear();
  for (uint32_t s = 0; s < plan->sections; ++s) {
    if (!plan->firsts.push(0)) return false;
  }
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    Extent& e = plan->extents[i];
    e.next = 0;
    if (e.section == 0) continue;
    uint32_t& before = last[e.section - 1];
    const uint32_t here = static_cast<uint32_t>(i + 1);
    (before == 0 ? plan->firsts[e.section - 1] : plan->extents[before - 1].next) = here;
    before = here;
  }
  return true;
}

bool place_extents(Plan* plan, const uint8_t* skeleton, size_t skeleton_size,
                   uint64_t original_size) {
  uint64_t used = 0, offset = 0;
  for (size_t i = 0; i < plan->extents.size(); ++i) {
    Extent& e = plan->extents[i];
    if (e.gap > skeleton_size - used) return false;
    used += e.gap;
    offset += e.gap;
    if (!e.size_known) {
      if (used < 4) return false;
      e.size = load32(skeleton + used - 4);
    }
    if (e.size == 0 || offset > original_size || e.size > original_size - offset) return false;
    e.offset = offset;
    offset += e.size;
    if (has_float_fields(e.method)) {
      e.element = e.format == 2 ? 4 : 2;
    }
    if (e.size % e.element != 0) return false;
    if (e.channels != 0) {
      if (e.row == 0 || e.row > e.count()) return false;
      if (e.channels != (e.interleaved ? e.row : (e.count() + e.row - 1) / e.row)) return false;
    }
    if (e.method == kMethodCopy) {
      if (e.back == 0 || e.back > i || plan->extents[i - e.back].size != e.size) return false;
    }
    if (uses_base(e.method) &&
        (e.base > plan->base_size || e.size > plan->base_size - e.base)) {
      return false;
    }
    if (e.method == kMethodBeside && e.new_section &&
        (e.window_size > kLargestWindow || e.window > plan->base_size ||
         e.window_size > plan->base_size - e.window)) {
      return false;
    }
    if (e.method == kMethodSymbols || e.method == kMethodFloats || e.method == kMethodLight ||
        e.method == kMethodLightFloats ||
        e.method == kMethodPartner || e.method == kMethodDrift) {
      if (e.last == 0) e.last = e.row;
      if (e.row == 0 || e.last > e.row || e.row > e.count()) return false;
    }
  }
  return offset + (skeleton_size - used) == original_size;
}

bool check_rule(const Rule& r, size_t skeleton_size, uint64_t* free_from) {
  uint64_t weights = r.weights_single ? 1 : r.count;
  if (!inside(r.target, r.count, skeleton_size) || !inside(r.weights, weights, skeleton_size) ||
      !inside(r.input, 1, skeleton_size) || r.count == 0 || r.target < *free_from ||
      meet(r.target, r.count, r.weights, weights) || meet(r.target, r.count, r.input, 1)) {
    return false;
  }
  *free_from = r.target + 4 * r.count;
  return true;
}

bool check_rules(const Plan& plan, size_t skeleton_size) {
  uint64_t free_from = 0;
  for (size_t i = 0; i < plan.rules.size(); ++i) {
    if (!check_rule(plan.rules[i], skeleton_size, &free_from)) return false;
  }
  return true;
}

uint64_t rule_hits(const Rule& rule, const uint8_t* skeleton, size_t skeleton_size) {
  uint64_t weights = rule.weights_single ? 1 : rule.count, hits = 0;
  if (!inside(rule.target, rule.count, skeleton_size) ||
      !inside(rule.weights, weights, skeleton_size) || !inside(rule.input, 1, skeleton_size)) {
    return 0;
  }
  for (uint64_t i = 0; i < rule.count; ++i) {
    hits += load32(skeleton + rule.target + 4 * i) == product(rule, skeleton, i) ? 1 : 0;
  }
  return hits;
}

void apply_rules(const Plan& plan, uint8_t* skeleton) {
  for (size_t i = plan.rules.size(); i-- > 0;) turn_rule(plan.rules[i], skeleton);
}

void undo_rules(const Plan& plan, uint8_t* skeleton) {
  for (size_t i = 0; i < plan.rules.size(); ++i) turn_rule(plan.rules[i], skeleton);
}

}  // namespace kc
