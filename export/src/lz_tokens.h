// The two alphabets of repeats with Huffman codes.
#ifndef KC_LZ_TOKENS_H_
#define KC_LZ_TOKENS_H_

#include "lz_step.h"

namespace kc {

constexpr size_t kShortest = 3;  // bytes of a match
constexpr size_t kLengthClasses = 80;
constexpr size_t kTokens = 256 + kLengthClasses;  // literals, then classes of match lengths
constexpr size_t kDistanceClasses = 80;

}  // namespace kc

#endif  // KC_LZ_TOKENS_H_
