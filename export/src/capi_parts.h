// What the functions of the C ABI share.
#ifndef KC_CAPI_PARTS_H_
#define KC_CAPI_PARTS_H_

#include "packed_file.h"

// Placement only: the library has no C++ runtime to allocate with.
inline void* operator new(size_t, void* place) noexcept { return place; }

namespace kc {

template <typename T>
T* make() {
  void* memory = malloc(sizeof(T));
  return memory == nullptr ? nullptr : new (memory) T();
}

template <typename T>
void drop(T* object) {
  if (object == nullptr) return;
  object->~T();
  free(object);
}

inline void clear(kc_error* error) {
  if (error != nullptr) memset(error, 0, sizeof *error);
}

inline int32_t open_bytes(const uint8_t* packed, size_t size, uint64_t max_size, PackedFile* file,
                          kc_error* error) {
  clear(error);
  if (packed == nullptr && size != 0) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  static const uint8_t kNothing = 0;
  return file->open(Source(size == 0 ? &kNothing : packed, size), max_size, error);
}

inline Target whole(const PackedFile& file, uint8_t* memory) {
  Target target;
  target.memory = memory;
  target.size = file.container.original_size;
  return target;
}

inline void describe(const Extent& e, kc_extent* out) {
  memset(out, 0, sizeof *out);
  out->offset = e.offset;
  out->size = e.size;
  out->method = e.method;
  out->element = e.element;
  out->symbols = e.symbols;
  out->section = e.section;
  out->row = e.row;
  out->last = e.last == 0 ? e.row : e.last;
  out->bits = e.coded_bits;
}

inline void describe_extents(const Plan& plan, kc_extent* extents, size_t capacity) {
  for (size_t i = 0; extents != nullptr && i < plan.extents.size() && i < capacity; ++i) {
    describe(plan.extents[i], &extents[i]);
  }
}

inline void summarize(const Plan& plan, uint64_t original_size, uint64_t packed_size, kc_summary* summary) {
  memset(summary, 0, sizeof *summary);
  summary->format_version = kFormatVersion;
  summary->original_size = original_size;
  summary->packed_size = packed_size;
  summary->extents = static_cast<uint32_t>(plan.extents.size());
}

inline void summarize(const PackedFile& file, uint64_t packed_size, kc_summary* summary) {
  summarize(file.plan, file.container.original_size, packed_size, summary);
  summary->sections = static_cast<uint32_t>(file.container.sections.size());
  summary->skeleton_size = file.skeleton_size();
  summary->skeleton_packed = file.container.sections[0].size;
}

}  // namespace kc

#endif  // KC_CAPI_PARTS_H_
