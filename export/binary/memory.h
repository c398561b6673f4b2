// Memory that is taken once, when a layer is prepared.
#ifndef KC_BINARY_MEMORY_H_
#define KC_BINARY_MEMORY_H_

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

namespace kc {
namespace binary {

// A line of the cache, and the longest vector: one that begins elsewhere takes two loads.
constexpr size_t kAlignment = 64;

// Zeros, at least one of them; false where there is no memory. Counts stay far below overflow.
template <class T>
bool take(T** out, size_t count) {
  const size_t bytes = (count ? count : 1) * sizeof(T);
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes) != 0) return false;
  memset(memory, 0, bytes);
  *out = static_cast<T*>(memory);
  return true;
}

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_MEMORY_H_
