#include "lz_finder.h"

namespace kc {

bool LzFinder::init(const uint8_t* data, size_t size, int depth) {
  data_ = data, size_ = size, depth_ = depth;
  bits_ = 12;
  while (bits_ < 20 && (static_cast<size_t>(1) << bits_) < size) ++bits_;
  return size < UINT32_MAX / 2 && two_.reset(1u << 16) && three_.reset(1u << 16) &&
         heads_.reset(static_cast<size_t>(1) << bits_) && chain_.reset(size + 1);
}

namespace {

uint32_t two_bytes(const uint8_t* p) { return p[0] | static_cast<uint32_t>(p[1]) << 8; }
uint32_t three_bytes(const uint8_t* p) {
  return (two_bytes(p) | static_cast<uint32_t>(p[2]) << 16) * 0x9E3779B1u >> 16;
}

}  // namespace

void LzFinder::insert(size_t at) {
  if (at + 4 > size_) return;
  const uint8_t* p = data_ + at;
  const uint32_t here = static_cast<uint32_t>(at + 1), h = load32(p) * 0x9E3779B1u >> (32 - bits_);
  two_[two_bytes(p)] = here;
  three_[three_bytes(p)] = here;
  chain_[at] = heads_[h];
  heads_[h] = here;
}

size_t LzFinder::match(size_t at, size_t from, size_t max) const {
  size_t n = 0;
  while (n + 8 <= max) {
    uint64_t a, b;
    memcpy(&a, data_ + at + n, 8);
    memcpy(&b, data_ + from + n, 8);
    if (a != b) break;
    n += 8;
  }
  while (n < max && data_[from + n] == data_[at + n]) ++n;
  return n;
}

size_t LzFinder::find(size_t at, Match* out) {
  size_t found = 0, best = 1;
  if (at + 4 > size_) return 0;
  const uint8_t* p = data_ + at;
  const size_t max = size_ - at < kLongest ? size_ - at : kLongest;
  const auto look = [&](uint32_t place) {
    if (place == 0 || found == kMax) return;
    const size_t from = place - 1;
    if (best < max && data_[from + best] != p[best]) return;
    const size_t n = match(at, from, max);
    if (n <= best) return;
    best = n;
    out[found++] = {static_cast<uint32_t>(n), static_cast<uint32_t>(at - from)};
  };
  look(two_[two_bytes(p)]);
  look(three_[three_bytes(p)]);
  uint32_t next = heads_[load32(p) * 0x9E3779B1u >> (32 - bits_)];
  for (int i = 0; next != 0 && i < depth_ && best < max && best < 4096; ++i, next = chain_[next - 1])
    look(next);
  insert(at);
  return found;
}

}  // namespace kc
