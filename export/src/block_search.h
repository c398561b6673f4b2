// Finds out whether floats are small integers, or few levels, times a scale a block.
#ifndef KC_BLOCK_SEARCH_H_
#define KC_BLOCK_SEARCH_H_

#include "blockwise.h"
#include "keras_compress.h"

namespace kc {

// What was found. Integers have their levels from `first` on, one a symbol; other levels are listed.
struct FoundBlocks {
  BlockOrder order;
  bool has_offsets = false;
  bool listed = false;
  bool signed_zeros = false;  // 0 and -0 in one block
  int first = 0;
  size_t symbols = 0;
  float levels[256];
  Bytes scales, offsets;  // float32, one a block

  Blockwise parts(int format) const;
};

// The symbols of elements; false where an element is none of its block's.
bool find_block_symbols(const Blockwise& from, const uint8_t* data, size_t count, uint8_t* symbols);
// A bit for each element of level `from.zero`, as Blockwise::zero_signs.
void find_zero_signs(const Blockwise& from, const uint8_t* data, size_t count, const uint8_t* symbols,
                     uint8_t* signs);

// True: every element is given back bit by bit. What is not of that kind is told within microseconds.
// `format` as in Blockwise; of `shape` the dimensions alone are read.
bool find_blocks(const kc_tensor& shape, const uint8_t* data, size_t count, int format, FoundBlocks* found);

}  // namespace kc

#endif  // KC_BLOCK_SEARCH_H_
