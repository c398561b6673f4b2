// Codebooks of one tensor that differ by a scale from channel to channel.
//
// A clustered convolution whose batch normalization was folded into it holds, in each channel, the
// shared values times the channel's scale, rounded. Stored are the shared values, one scale for
// each channel, and how many steps of the number format each product is off.
#ifndef KC_CHANNEL_BOOK_H_
#define KC_CHANNEL_BOOK_H_

#include "bytes.h"

namespace kc {

// Upper bytes of a float64 that are stored.
constexpr size_t kSharedBytes = 6;
constexpr size_t kScaleBytes = 5;

// Where channels lie: element i belongs to channel i / row, or i % row if `interleaved`.
struct ChannelOrder {
  size_t count = 0;
  size_t row = 0;
  bool interleaved = false;

  size_t channels() const { return interleaved ? row : (count + row - 1) / row; }
  size_t channel(size_t i) const { return interleaved ? i % row : i / row; }
};

// The value at `step` steps from the product of a shared value and a scale, as an element of 4
// (float32), 2 (float16) or 1 byte (int8).
uint32_t scaled_value(double shared, double scale, int element, int64_t step);

// Appends `entries` elements, the multiples of `step` (an element) from `first` on. False: out of range.
bool append_grid(uint32_t step, int64_t first, size_t entries, int element, Bytes* codebooks);

// Finds the step of which all `count` values are multiples, such that append_grid() gives them
// back; `largest` bounds the entries. The values are distinct elements, floats of 2 or 4 bytes.
bool find_grid(const uint32_t* values, size_t count, int element, size_t largest, uint32_t* step,
               int64_t* first, size_t* entries);

// Reads the stored form and appends `channels` codebooks of `entries` elements to `codebooks`.
// False: malformed.
bool read_channel_books(Reader* in, size_t entries, size_t channels, int element, Bytes* codebooks);

// The stored form of `count` of the channels, from `first` on.
bool cut_channel_books(const uint8_t* stored, size_t size, size_t entries, size_t channels, size_t first,
                       size_t count, Bytes* out);

// Finds shared values and scales. On success `stored` is their stored form and `entries` their
// number, at most 256; the shared values ascend, so that the index is comparable between channels.
bool find_channel_books(const uint8_t* data, const ChannelOrder& order, int element, Bytes* stored,
                        size_t* entries);

}  // namespace kc

#endif  // KC_CHANNEL_BOOK_H_
