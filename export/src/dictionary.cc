#include "dictionary.h"

namespace kc {

const uint8_t kDictionary[] = {
#include "dictionary.inc"
};
const size_t kDictionarySize = sizeof kDictionary;

}  // namespace kc
