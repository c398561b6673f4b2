// Between the bytes of an extent and its symbols (see ExtentSymbols).
#ifndef KC_SYMBOLS_H_
#define KC_SYMBOLS_H_

#include "plan.h"

namespace kc {

void symbols_of(const Plan& plan, const Extent& extent, const uint8_t* data, uint8_t* symbols);
// False: a symbol without an entry.
bool restore_symbols(const Plan& plan, const Extent& extent, const uint8_t* symbols, size_t count,
                     uint8_t* data);

}  // namespace kc

#endif  // KC_SYMBOLS_H_
