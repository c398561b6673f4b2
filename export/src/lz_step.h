// What LZ makes of bytes: literals, and matches of a new distance or one of the last.
#ifndef KC_LZ_STEP_H_
#define KC_LZ_STEP_H_

#include "bytes.h"

namespace kc {

constexpr int kLzReps = 4;
constexpr size_t kShortestLz = 2;
constexpr size_t kLzPlaces = 4;      // in a word
constexpr size_t kLzLengthSets = 3;  // new matches, those of the last distance, of the ones before it

// What has been coded, as far as the next decision is told by it.
struct LzState {
  uint32_t kinds = 0;  // of the last three steps, a bit each: matches
  uint32_t reps[kLzReps] = {1, 1, 1, 1};

  void literal() { kinds = kinds << 1 & 7; }
  void match(uint32_t distance) {
    kinds = (kinds << 1 | 1) & 7;
    for (int r = kLzReps - 1; r > 0; --r) reps[r] = reps[r - 1];
    reps[0] = distance;
  }
  void rep(int number) {
    const uint32_t distance = reps[number];
    kinds = (kinds << 1 | 1) & 7;
    for (int r = number; r > 0; --r) reps[r] = reps[r - 1];
    reps[0] = distance;
  }
};

// A number as its class and the bits below: 0 to 3 by themselves, then two classes an octave.
struct LzClass {
  uint32_t number;
  int extra;
  explicit LzClass(uint32_t value) {
    if (value < 4) {
      number = value, extra = 0;
      return;
    }
    const int octave = 31 - __builtin_clz(value);
    number = static_cast<uint32_t>(2 * octave) + (value >> (octave - 1) & 1), extra = octave - 1;
  }
  static int extra_of(uint32_t number) { return number < 4 ? 0 : static_cast<int>(number >> 1) - 1; }
  static uint32_t start_of(uint32_t number) {
    return number < 4 ? number : (2 + (number & 1)) << ((number >> 1) - 1);
  }
};

// A literal (length 1, distance 0), or a match: of a new distance, or number `rep` of the last ones.
struct LzStep {
  uint32_t length = 1;
  uint32_t distance = 0;
  int rep = -1;
};

}  // namespace kc

#endif  // KC_LZ_STEP_H_
