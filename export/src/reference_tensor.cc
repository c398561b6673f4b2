#include "reference_tensor.h"

#include "float_model.h"
#include "stop.h"

namespace kc {
namespace {

// In the order of values, as of floats and of two's complement.
int64_t ordered(uint32_t bits, int element, bool is_float) {
  const uint32_t sign = 1u << (8 * element - 1);
  if ((bits & sign) == 0) return static_cast<int64_t>(bits);
  return is_float ? -static_cast<int64_t>(bits & ~sign) : static_cast<int64_t>(bits) - 2ll * sign;
}

uint8_t nearest_entry(const Plan& plan, const Extent& e, uint32_t value) {
  // Codebooks hold floats but for 16-bit integers, whose order differs below zero alone.
  const int64_t key = ordered(value, e.element, true);
  int64_t best = INT64_MAX;
  uint8_t found = 0;
  for (size_t i = 0; i < e.symbols; ++i) {
    const uint32_t entry = load_element(plan.codebooks.data() + e.codebook + i * e.element, e.element);
    int64_t away = ordered(entry, e.element, true) - key;
    if (away < 0) away = -away;
    if (away < best) best = away, found = static_cast<uint8_t>(i);
  }
  return found;
}

bool same_name(const kc_tensor& a, const uint8_t* a_file, const kc_tensor& b, const uint8_t* b_file) {
  return a.name_size == b.name_size &&
         memcmp(a_file + a.name_offset, b_file + b.name_offset, a.name_size) == 0;
}

}  // namespace

bool references_of(const Plan& plan, const Extent& e, uint8_t* references) {
  const uint8_t* base = plan.base + e.base;
  const size_t count = static_cast<size_t>(e.count());
  if (e.identity) {
    for (size_t i = 0; i < count; ++i)
      references[i] = static_cast<uint8_t>((base[i] ^ (e.flip ? 128 : 0)) >> 2);
    return true;
  }
  struct Find {
    uint32_t value;
    uint16_t entry;  // + 1
  };
  Array<Find> finds(4096);
  if (!finds.ok()) return false;
  for (size_t i = 0; i < count; ++i) {
    if (stopped_at(i)) return false;
    const uint32_t value = load_element(base + i * e.element, e.element);
    Find& find = finds[(value * 0x9E3779B1u) >> 20];
    if (find.entry == 0 || find.value != value) {
      find.value = value;
      find.entry = static_cast<uint16_t>(nearest_entry(plan, e, value) + 1);
    }
    references[i] = static_cast<uint8_t>(find.entry - 1);
  }
  return true;
}

void to_differences(const Plan& plan, const Extent& e, uint8_t* symbols) {
  if (!e.identity) return;
  const uint8_t flip = e.flip ? 128 : 0;
  for (size_t i = 0; i < e.count(); ++i) {
    const int d = static_cast<int8_t>(symbols[i] - (plan.base[e.base + i] ^ flip));
    symbols[i] = static_cast<uint8_t>(d < 0 ? -2 * d - 1 : 2 * d);
  }
}

void from_differences(const Plan& plan, const Extent& e, uint8_t* values) {
  if (!e.identity) return;
  const uint8_t flip = e.flip ? 128 : 0;
  for (size_t i = 0; i < e.count(); ++i) {
    const int v = values[i], d = (v & 1) != 0 ? -(v + 1) / 2 : v / 2;
    values[i] = static_cast<uint8_t>((plan.base[e.base + i] ^ flip) + d);
  }
}

int reference_bits(const Extent& e) {
  int bits = 1;
  while (bits < 8 && (e.highest >> bits) != 0) ++bits;
  return e.identity ? 8 : bits;
}

const kc_tensor* find_reference(const BundleWalker& walker, const uint8_t* base, const kc_tensor& tensor,
                                size_t index, const uint8_t* file) {
  const List<kc_tensor>& others = walker.tensors();
  auto fits = [&](size_t i) { return others[i].size == tensor.size && others[i].type == tensor.type; };
  constexpr size_t kMaxTries = 4096;
  for (size_t i = 0; i < others.size() && i < kMaxTries; ++i) {
    // The same place first, then all others from the start.
    const size_t k = i == 0 ? index : i - 1;
    if (k < others.size() && fits(k) && same_name(tensor, file, others[k], base)) return &others[k];
  }
  return index < others.size() && fits(index) ? &others[index] : nullptr;
}

}  // namespace kc
