// Between the bytes of an extent and its symbols (see ExtentSymbols).
#ifndef KC_SYMBOLS_H_
#define KC_SYMBOLS_H_

#include "plan.h"

namespace kc {

// Where the symbols of an extent are while it is coded: decoded ones at the end of the place that their
// elements will fill, if there is room.
class SymbolRoom {
 public:
  bool init(const Extent& e, bool decodes, uint8_t* data) {
    const size_t count = static_cast<size_t>(e.count());
    const bool own = !decodes || count > e.size;
    at_ = data + e.size - count;
    return !own || (own_.reset(count) && (at_ = own_.data(), true));
  }
  uint8_t* at() { return at_; }

 private:
  Array<uint8_t> own_;
  uint8_t* at_ = nullptr;
};

// Of blocks see BlockSide.
void symbols_of(const Plan& plan, const Extent& extent, const uint8_t* data, uint8_t* symbols);
// False: a symbol without an entry.
bool restore_symbols(const Plan& plan, const Extent& extent, const uint8_t* symbols, size_t count,
                     uint8_t* data);

}  // namespace kc

#endif  // KC_SYMBOLS_H_
