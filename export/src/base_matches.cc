#include "base_matches.h"

#include "stop.h"

namespace kc {
namespace {

uint64_t load64(const uint8_t* p) { return load32(p) | static_cast<uint64_t>(load32(p + 4)) << 32; }

// Fills of one byte or one element are everywhere, and cost nothing.
bool repeats_itself(const uint8_t* p) {
  return load64(p) == load64(p + 8) && load64(p + 8) == load64(p + 16) && load64(p + 16) == load64(p + 24);
}

}  // namespace

uint32_t BaseMatches::place_of(const uint8_t* p) const {
  uint64_t h = load64(p) * 0x9E3779B97F4A7C15ull;
  for (size_t i = 8; i < kKey; i += 8) h = ((h ^ h >> 29) + load64(p + i)) * 0xBF58476D1CE4E5B9ull;
  return static_cast<uint32_t>(h >> (64 - bits_));
}

bool BaseMatches::init(const uint8_t* base, size_t size) {
  base_ = base;
  size_ = size;
  bits_ = 12;
  while (bits_ < kMaxBits && (static_cast<size_t>(1) << bits_) < 2 * size) ++bits_;
  step_ = 1 + 2 * size / (static_cast<size_t>(1) << kMaxBits);
  if (!places_.reset(static_cast<size_t>(1) << bits_)) return false;
  if (size < kKey) return true;
  // From the end on, so that of equal keys the first one stays.
  for (size_t k = (size - kKey) / step_ + 1; k-- > 0;) {
    if (stopped_at(k)) return false;
    const uint8_t* key = base + k * step_;
    if (!repeats_itself(key)) places_[place_of(key)] = static_cast<uint32_t>(k + 1);
  }
  return true;
}

bool BaseMatches::find(const uint8_t* data, uint64_t from, uint64_t to, uint64_t least,
                       List<BaseMatch>* matches) const {
  uint64_t free = from, shift = 0;  // what the last match is moved by
  auto length_at = [&](uint64_t at, uint64_t base) {
    uint64_t n = 0;
    while (at + n < to && base + n < size_ && data[at + n] == base_[base + n]) ++n;
    return n;
  };
  uint64_t steps = 0;
  for (uint64_t at = from; at + kKey <= to;) {
    if (stopped_at(static_cast<size_t>(steps++))) return false;
    if (repeats_itself(data + at)) {
      ++at;
      continue;
    }
    BaseMatch m;
    const uint64_t expected = at + shift;
    uint64_t place = 0;
    if (expected < size_ && size_ - expected >= kKey && memcmp(data + at, base_ + expected, kKey) == 0) {
      place = expected + 1;
    } else {
      place = static_cast<uint64_t>(places_[place_of(data + at)]);
      if (place != 0) place = (place - 1) * step_ + 1;
    }
    if (place != 0) m.size = length_at(at, place - 1);
    if (place == 0 || m.size < kKey) {
      ++at;
      continue;
    }
    m.offset = at;
    m.base = place - 1;
    while (m.offset > free && m.base > 0 && data[m.offset - 1] == base_[m.base - 1]) {
      --m.offset, --m.base, ++m.size;
    }
    at = m.offset + m.size;
    if (m.size < least) continue;
    shift = m.base - m.offset;
    free = at;
    if (!matches->push(m)) return false;
  }
  return true;
}

}  // namespace kc
