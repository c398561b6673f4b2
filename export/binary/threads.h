// A few threads that share a loop. With one thread none is started.
#ifndef KC_BINARY_THREADS_H_
#define KC_BINARY_THREADS_H_

#include <stdint.h>

namespace kc {
namespace binary {

constexpr int kMaxThreads = 64;

struct Pool;

// `threads` counts the caller. Returns null if there is no memory; fewer threads than asked for
// are used where the system gives no more.
Pool* new_pool(int threads);
void free_pool(Pool* pool);
int thread_count(const Pool* pool);

// Calls work(context, unit, thread) for each unit of 0 .. units - 1, and returns when all are
// done. One caller at a time.
using Work = void (*)(void* context, int32_t unit, int thread);
void run(Pool* pool, int32_t units, Work work, void* context);

}  // namespace binary
}  // namespace kc

#endif  // KC_BINARY_THREADS_H_
