#include "candidates.h"

#include "container.h"

namespace kc {
namespace {

// From the smallest files to the fastest restoring.
constexpr int32_t kCodecs[] = {KC_CODEC_SMALLEST, KC_CODEC_AUTO, KC_CODEC_SMALL, KC_CODEC_FAST};
// What a frame may differ by between two codecs, beside the sections' lengths.
constexpr uint64_t kFrame = 64;
constexpr uint64_t kOfSection = 10 + 4;

template <typename T>
T loaded(const T* value) {
  return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

}  // namespace

bool Candidates::open(const uint8_t* data, size_t size, int32_t codec) {
  for (const int32_t tried : kCodecs) {
    if (tried != codec && count_ == 0) continue;
    if (!jobs_[count_++].open(data, size, tried)) return false;
    // So many bytes that are in no tensor are coded in one way by all codecs.
    const PackJob& job = jobs_[count_ - 1];
    if (job.packing.plan.sections == 0 && job.skeleton().size() > kMaxModelledBytes) break;
  }
  return true;
}

uint32_t Candidates::sections() const {
  uint32_t all = 0;
  for (int i = 0; i < count_; ++i) all += jobs_[i].sections();
  return all;
}

// Has it more bytes already than another, which is done, has in all? A job of no sections is stored.
bool Candidates::is_beaten(int number) const {
  const uint64_t bytes = loaded(&progress_[number].bytes);
  for (int i = 0; i < count_; ++i) {
    const uint32_t sections = jobs_[i].sections();
    if (i == number || sections == 0 || loaded(&progress_[i].done) != sections) continue;
    const uint64_t least = loaded(&progress_[i].bytes);
    if (least < size() / kMaxExpansion) continue;  // as small as no reader takes
    if (bytes > least + kOfSection * sections + kFrame) return true;
  }
  return false;
}

// Once a codec is through, what is larger, and on which nobody works any more, needs no memory.
void Candidates::drop_beaten() {
  for (int i = 0; i < count_; ++i) {
    const bool through = loaded(&progress_[i].done) == jobs_[i].sections();
    if (through && is_beaten(i) && __atomic_exchange_n(&progress_[i].dropped, 1, __ATOMIC_ACQ_REL) == 0) {
      jobs_[i].drop();
    }
  }
}

void Candidates::work(uint32_t section) {
  int number = 0;
  while (number < count_ && section >= jobs_[number].sections()) section -= jobs_[number++].sections();
  if (number == count_) return;
  PackJob& job = jobs_[number];
  Progress& progress = progress_[number];
  if (is_beaten(number)) return;  // `finish` asks again, and leaves it out
  job.work(section);
  if (!job.worked(section)) return;
  __atomic_add_fetch(&progress.bytes, job.payload_size(section), __ATOMIC_RELEASE);
  const uint32_t done = __atomic_add_fetch(&progress.done, 1, __ATOMIC_RELEASE);
  if (done == job.sections()) drop_beaten();
}

int32_t Candidates::finish(Bytes* out, kc_error* error) {
  uint32_t section = 0;
  for (int i = 0; i < count_; ++i) {
    // What threads have not worked on, with an eye on those before.
    for (uint32_t s = 0; s < jobs_[i].sections(); ++s, ++section) {
      if (!jobs_[i].worked(s)) work(section);
    }
    if (is_beaten(i)) {
      jobs_[i].drop();
      continue;
    }
    Bytes other;
    const int32_t status = jobs_[i].finish(&other, error);
    if (status != KC_OK) return status;
    jobs_[i].drop();
    if (out->size() == 0 || other.size() <= out->size()) out->swap(other), taken_ = i;
  }
  return KC_OK;
}

}  // namespace kc
