// Earlier places of the same bytes, by hashes of two, three and four of them.
#ifndef KC_LZ_FINDER_H_
#define KC_LZ_FINDER_H_

#include "bytes.h"

namespace kc {

class LzFinder {
 public:
  struct Match {
    uint32_t length, distance;
  };
  static constexpr size_t kMax = 48;
  static constexpr size_t kLongest = 1u << 28;

  // False: no memory.
  bool init(const uint8_t* data, size_t size, int depth);
  // Takes note of the byte at `at`, which goes up by one with each call.
  void insert(size_t at);
  // So, and fills `out` with longer and longer matches, the nearest of each length. At most kMax.
  size_t find(size_t at, Match* out);
  // Bytes from `at` on that are those from `from` on.
  size_t match(size_t at, size_t from, size_t max) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int depth_ = 0, bits_ = 0;
  Array<uint32_t> two_, three_, heads_, chain_;
};

}  // namespace kc

#endif  // KC_LZ_FINDER_H_
