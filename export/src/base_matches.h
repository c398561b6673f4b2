// Finds where long runs of a file's bytes stand in another file, at any place.
#ifndef KC_BASE_MATCHES_H_
#define KC_BASE_MATCHES_H_

#include "bytes.h"

namespace kc {

struct BaseMatch {
  uint64_t offset = 0;  // in the file
  uint64_t size = 0;
  uint64_t base = 0;
};

class BaseMatches {
 public:
  // False: no memory.
  bool init(const uint8_t* base, size_t size);

  // The runs of at least `least` bytes in [from, to), in order and apart. False: no memory.
  bool find(const uint8_t* data, uint64_t from, uint64_t to, uint64_t least, List<BaseMatch>* matches) const;

 private:
  static constexpr size_t kKey = 32;  // bytes that are looked up
  static constexpr int kMaxBits = 22;

  uint32_t place_of(const uint8_t* p) const;

  const uint8_t* base_ = nullptr;
  size_t size_ = 0;
  size_t step_ = 1;
  int bits_ = 0;
  Array<uint32_t> places_;  // of keys in the base, in steps, + 1
};

}  // namespace kc

#endif  // KC_BASE_MATCHES_H_
