// A caller's wish to stop. Every loop that may run for long asks `stopped()` each few thousand
// elements and fails as if there were no memory; `fail` says why.
#ifndef KC_STOP_H_
#define KC_STOP_H_

#include <stddef.h>
#include <stdint.h>

namespace kc {

// Elements or bytes that a loop may work on between two questions; some milliseconds.
constexpr size_t kStopBlock = 4096;

#ifdef KC_WITHOUT_STOP
// No caller of such a library can ask for it: Java's has no thread that would.
constexpr bool stopped() { return false; }
#else
// Of the calling thread, so that no function in between has to hand it on.
extern __thread const int32_t* stop_flag;

inline bool stopped() { return stop_flag != nullptr && __atomic_load_n(stop_flag, __ATOMIC_RELAXED) != 0; }
#endif

// Is it time to ask, at element `i`, and shall the loop end?
inline bool stopped_at(size_t i) { return (i & (kStopBlock - 1)) == 0 && stopped(); }

}  // namespace kc

#endif  // KC_STOP_H_
