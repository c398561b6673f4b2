// One block of floats: is it small integers times a scale, or that plus an offset?
#ifndef KC_BLOCK_FIT_H_
#define KC_BLOCK_FIT_H_

#include "blockwise.h"

namespace kc {

// Element `i` as float32, which has all elements of the three formats.
float block_value(const uint8_t* data, size_t i, int format);

// Half the distance from `x` to its neighbours in the format; to the nearer one of a power of two it is half
// of that.
double half_place(double x, int format);
// What rounds to the element `x`, above zero, lies between these.
double lower_end(double x, int format);
double upper_end(double x, int format);

// Of the float32 numbers from `low` to `high`, both above zero, the one with the most zeros at its end,
// which takes the fewest bits.
bool simplest_between(double low, double high, float* found);

inline double size_of(double x) { return x < 0 ? -x : x; }
inline int nearest_integer(double x) { return static_cast<int>(x < 0 ? x - 0.5 : x + 0.5); }
inline bool is_negative(float x) { return (bits_of(x) >> 31) != 0; }

// The values of a block and what they look like.
struct Block {
  const float* values = nullptr;
  size_t count = 0;
  int format = 2;
  float smallest = 0, largest = 0;
  size_t nonzero = 0;
  bool plain_zero = false, negative_zero = false;

  // False: there is an element that no product gives.
  bool look(const float* from, size_t n, int of);
  double reach() const { return size_of(smallest) > largest ? size_of(smallest) : largest; }
};

struct Fit {
  float scale = 0, offset = 0;
  int lowest = 0, highest = 0;  // integers
};

// Every value is an integer times the scale, which is above zero, and the largest integer is `max`;
// signs of zeros don't count.
bool fit_scale(const Block& block, int max, Fit* fit);
// Every value is an integer from 0 to `max` times the scale plus the smallest value; or `nearly`, for of
// a part of a block the smallest value is not the offset.
bool fit_offset(const Block& block, int max, bool nearly, Fit* fit);

// Tries `hint` for the largest integer, then all from 1 on. `part`: the block may be a part of one.
bool fit_block(const Block& block, bool with_offset, int hint, bool part, Fit* fit);

}  // namespace kc

#endif  // KC_BLOCK_FIT_H_
