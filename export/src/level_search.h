// Finds levels that are no integers, such as NF4's, which blocks have times a scale.
#ifndef KC_LEVEL_SEARCH_H_
#define KC_LEVEL_SEARCH_H_

#include "block_samples.h"
#include "block_search.h"

namespace kc {

// Fills in all but what the levels give back, which is for the caller to see.
bool find_levels(const FloatTensor& tensor, const BlockOrder* orders, int count, FoundBlocks* found);

}  // namespace kc

#endif  // KC_LEVEL_SEARCH_H_
