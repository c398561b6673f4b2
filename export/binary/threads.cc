#include "threads.h"

#include <pthread.h>
#include <stdlib.h>

namespace kc {
namespace binary {

struct Pool {
  pthread_mutex_t mutex;
  pthread_cond_t begin, done;
  pthread_t threads[kMaxThreads];
  int count;    // with the caller
  int started;  // threads of our own
  // Under the mutex:
  uint64_t round;
  int busy;
  bool stop;
  Work work;
  void* context;
  int32_t units;
  int32_t next;  // taken by atomic addition
};

namespace {

struct Start {
  Pool* pool;
  int thread;
};

void take_units(Pool* pool, int thread) {
  for (;;) {
    const int32_t unit = __atomic_fetch_add(&pool->next, 1, __ATOMIC_RELAXED);
    if (unit >= pool->units) return;
    pool->work(pool->context, unit, thread);
  }
}

void* live(void* argument) {
  const Start start = *static_cast<Start*>(argument);
  free(argument);
  Pool* pool = start.pool;
  uint64_t seen = 0;
  pthread_mutex_lock(&pool->mutex);
  for (;;) {
    while (!pool->stop && pool->round == seen) pthread_cond_wait(&pool->begin, &pool->mutex);
    if (pool->stop) break;
    seen = pool->round;
    pthread_mutex_unlock(&pool->mutex);
    take_units(pool, start.thread);
    pthread_mutex_lock(&pool->mutex);
    if (--pool->busy == 0) pthread_cond_signal(&pool->done);
  }
  pthread_mutex_unlock(&pool->mutex);
  return nullptr;
}

}  // namespace

Pool* new_pool(int threads) {
  Pool* pool = static_cast<Pool*>(calloc(1, sizeof(Pool)));
  if (pool == nullptr) return nullptr;
  pthread_mutex_init(&pool->mutex, nullptr);
  pthread_cond_init(&pool->begin, nullptr);
  pthread_cond_init(&pool->done, nullptr);
  const int wanted = threads < 1 ? 1 : threads > kMaxThreads ? kMaxThreads : threads;
  for (int i = 1; i < wanted; ++i) {
    Start* start = static_cast<Start*>(malloc(sizeof(Start)));
    if (start == nullptr) break;
    *start = {pool, i};
    if (pthread_create(&pool->threads[pool->started], nullptr, live, start) != 0) {
      free(start);
      break;
    }
    ++pool->started;
  }
  pool->count = pool->started + 1;
  return pool;
}

void free_pool(Pool* pool) {
  if (pool == nullptr) return;
  pthread_mutex_lock(&pool->mutex);
  pool->stop = true;
  pthread_cond_broadcast(&pool->begin);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < pool->started; ++i) pthread_join(pool->threads[i], nullptr);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->begin);
  pthread_mutex_destroy(&pool->mutex);
  free(pool);
}

int thread_count(const Pool* pool) { return pool->count; }

void run(Pool* pool, int32_t units, Work work, void* context) {
  if (pool->started == 0 || units <= 1) {
    for (int32_t unit = 0; unit < units; ++unit) work(context, unit, 0);
    return;
  }
  pthread_mutex_lock(&pool->mutex);
  pool->work = work;
  pool->context = context;
  pool->units = units;
  pool->next = 0;
  pool->busy = pool->started;
  ++pool->round;
  pthread_cond_broadcast(&pool->begin);
  pthread_mutex_unlock(&pool->mutex);
  take_units(pool, 0);
  pthread_mutex_lock(&pool->mutex);
  while (pool->busy > 0) pthread_cond_wait(&pool->done, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
}

}  // namespace binary
}  // namespace kc
