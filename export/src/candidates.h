// One file packed with several codecs, of which the smallest result is taken.
#ifndef KC_CANDIDATES_H_
#define KC_CANDIDATES_H_

#include "pack.h"

namespace kc {

// The codec that was asked for and those that restore faster, so that no codec's file is larger than
// that of a faster one.
class Candidates {
 public:
  // False: no memory.
  bool open(const uint8_t* data, size_t size, int32_t codec);
  // Sections of all codecs, one codec after another; several threads may work, each on one of its own.
  uint32_t sections() const;
  void work(uint32_t section);
  // Does what is left and takes the smallest; `packing()` says how it was made.
  int32_t finish(Bytes* out, kc_error* error);
  const Packing& packing() const { return jobs_[taken_].packing; }
  size_t size() const { return jobs_[0].size(); }

 private:
  static constexpr int kMax = 4;

  // What a codec has come to; threads count up.
  struct Progress {
    uint64_t bytes = 0;
    uint32_t done = 0;  // sections
    uint32_t dropped = 0;
  };

  bool is_beaten(int number) const;
  void drop_beaten();

  PackJob jobs_[kMax];
  Progress progress_[kMax];
  int count_ = 0;
  int taken_ = 0;
};

}  // namespace kc

#endif  // KC_CANDIDATES_H_
