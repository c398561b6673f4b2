// What converters always write, to prime the skeleton's model with. Part of the format.
#ifndef KC_DICTIONARY_H_
#define KC_DICTIONARY_H_

#include <stddef.h>
#include <stdint.h>

namespace kc {

extern const size_t kDictionarySize;
extern const uint8_t kDictionary[];

}  // namespace kc

#endif  // KC_DICTIONARY_H_
