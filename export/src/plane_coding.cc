#include "plane_coding.h"

#include "float_model.h"
#include "gap_coding.h"
#include "huffman_symbols.h"

namespace kc {
namespace {

// Floats with the sign moved to the low end, so that the top byte is the exponent.
uint32_t rotate_sign(uint32_t v, int bits) {
  return bits == 32 ? v << 1 | v >> 31 : ((v << 1 | v >> 15) & 0xFFFF);
}
uint32_t rotate_back(uint32_t v, int bits) {
  return bits == 32 ? v >> 1 | v << 31 : ((v >> 1 | v << 15) & 0xFFFF);
}

constexpr uint8_t kPlaneRaw = 0, kPlaneCoded = 1;

// Where the zeros lie, as an extent of symbols: 0 below zero, 1 zero, 2 another value.
constexpr uint8_t kNegativeZero = 0, kZero = 1, kKept = 2;

Extent kind_extent(size_t count) {
  Extent kinds;
  kinds.size = count;
  kinds.method = kMethodGaps;
  kinds.identity = true;
  kinds.centre = kZero;
  kinds.lowest = kNegativeZero;
  kinds.highest = kKept;
  return kinds;
}

}  // namespace

bool encode_planes(const Extent& whole, const uint8_t* all, Bytes* out) {
  Extent e = whole;
  const uint8_t* data = all;
  size_t count = static_cast<size_t>(e.count());
  Array<uint8_t> kept;
  if (e.sparse) {
    Array<uint8_t> kinds(count);
    const uint32_t sign_bit = 1u << (8 * e.element - 1);
    if (!kinds.ok() || !kept.reset(static_cast<size_t>(e.size))) return false;
    size_t used = 0;
    for (size_t i = 0; i < count; ++i) {
      uint32_t v = load_element(data + i * e.element, e.element);
      kinds[i] = v == 0 ? kZero : (v == sign_bit ? kNegativeZero : kKept);
      if (kinds[i] == kKept) store_element(kept.data() + used++ * e.element, v, e.element);
    }
    if (!encode_gaps(kind_extent(count), kinds.data(), out)) return false;
    data = kept.data();
    count = used;
  }
  Array<uint8_t> plane(count);
  if (!plane.ok()) return false;
  for (int b = 0; b < e.element; ++b) {
    for (size_t i = 0; i < count; ++i) {
      uint32_t v = rotate_sign(load_element(data + i * e.element, e.element), 8 * e.element);
      plane[i] = static_cast<uint8_t>(v >> (8 * b));
    }
    Bytes coded;
    if (!encode_symbols(plane.data(), count, &coded)) return false;
    bool raw = coded.size() + coded.size() / 64 >= count;
    out->push(raw ? kPlaneRaw : kPlaneCoded);
    if (raw) {
      out->append(plane.data(), count);
    } else {
      out->append(coded.data(), coded.size());
    }
  }
  return !out->failed();
}

Decoded decode_planes(const Plan& plan, const Extent& e, Reader* in, uint8_t* data) {
  size_t count = static_cast<size_t>(e.count());
  const size_t all = count;
  Array<uint8_t> kinds;
  if (e.sparse) {
    if (!kinds.reset(count)) return Decoded::kMemory;
    Decoded result = decode_gaps(plan, kind_extent(count), in, kinds.data());
    if (result != Decoded::kDone) return result;
    count = 0;
    for (size_t i = 0; i < all; ++i) count += kinds[i] == kKept ? 1 : 0;
  }
  Array<uint8_t> plane(count);
  if (!plane.ok()) return Decoded::kMemory;
  for (int b = 0; b < e.element; ++b) {
    uint8_t how = in->byte();
    if (how == kPlaneRaw) {
      const uint8_t* bytes = in->take(count);
      if (bytes == nullptr) return Decoded::kMalformed;
      memcpy(plane.data(), bytes, count);
    } else if (how == kPlaneCoded) {
      Decoded result = decode_symbols(in, plane.data(), count);
      if (result != Decoded::kDone) return result;
    } else {
      return Decoded::kMalformed;
    }
    for (size_t i = 0; i < count; ++i) data[i * e.element + static_cast<size_t>(b)] = plane[i];
  }
  for (size_t i = 0; i < count; ++i) {
    uint32_t v = load_element(data + i * e.element, e.element);
    store_element(data + i * e.element, rotate_back(v, 8 * e.element), e.element);
  }
  if (!e.sparse) return Decoded::kDone;
  // The others lie at the front: from the back on they go to their places.
  const uint32_t sign_bit = 1u << (8 * e.element - 1);
  for (size_t i = all; i-- > 0;) {
    uint32_t v = kinds[i] == kNegativeZero ? sign_bit : 0;
    if (kinds[i] == kKept) v = load_element(data + --count * e.element, e.element);
    store_element(data + i * e.element, v, e.element);
  }
  return Decoded::kDone;
}

}  // namespace kc
