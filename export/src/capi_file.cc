// The C ABI's opened files, of which parts are read.
#include "capi_parts.h"
#include "keras_compress.h"
#include "zeroed_pages.h"

struct kc_file {
  kc::PackedFile packed;
};

using kc::clear;
using kc::describe_extents;
using kc::drop;
using kc::fail;
using kc::make;
using kc::summarize;
using kc::whole;

namespace {

// Calls `work` with the original's graph at its places, of an opened file.
template <typename Work>
int32_t walk_file(kc_file* file, const size_t* count, kc_error* error, Work work) {
  clear(error);
  if (file == nullptr || count == nullptr) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  kc::PackedFile& packed = file->packed;
  const size_t size = static_cast<size_t>(packed.container.original_size);
  // Only the pages that hold some of the graph are touched: what no one writes takes no memory.
  kc::ZeroedPages pages(size + 1);
  uint8_t* graph = pages.data();
  if (graph == nullptr) return fail(error, KC_ERROR_MEMORY, KC_PLACE_WHOLE);
  if (packed.stored()) {
    const int32_t read = packed.put_outside(whole(packed, graph), error);
    if (read != KC_OK) return read;
  } else {
    packed.put_graph(graph);
  }
  const int32_t status = work(graph, size);
  return status == KC_OK ? KC_OK : fail(error, KC_ERROR_MALFORMED, KC_PLACE_NONE);
}

}  // namespace

extern "C" {

int32_t kc_file_open(const kc_source* source, uint64_t max_size, kc_file** file, kc_summary* summary,
                     kc_error* error) {
  return kc_file_open_patch(source, nullptr, 0, max_size, file, summary, error);
}

int32_t kc_file_open_patch(const kc_source* source, const uint8_t* base, size_t base_size, uint64_t max_size,
                           kc_file** file, kc_summary* summary, kc_error* error) {
  clear(error);
  if (source == nullptr || file == nullptr || summary == nullptr || !kc::Source(*source).usable()) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  *file = make<kc_file>();
  if (*file == nullptr) return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  int32_t status = (*file)->packed.open(kc::Source(*source), max_size, error, base, base_size);
  if (status == KC_OK) {
    summarize((*file)->packed, source->size, summary);
  } else {
    drop(*file);
    *file = nullptr;
  }
  return status;
}

void kc_file_close(kc_file* file) { drop(file); }

void kc_file_extents(const kc_file* file, kc_extent* extents, size_t capacity) {
  describe_extents(file->packed.plan, extents, capacity);
}

int32_t kc_file_section(kc_file* file, uint32_t section, uint8_t* memory, const kc_sink* sink,
                        kc_error* error) {
  clear(error);
  if (file == nullptr) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  kc::Target target = whole(file->packed, memory);
  if (memory == nullptr) target.sink = sink;
  return section == 0 ? file->packed.put_outside(target, error)
                      : file->packed.put_section(section, target, error);
}

int32_t kc_file_finish(kc_file* file, kc_error* error) {
  clear(error);
  if (file == nullptr) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  return file->packed.finish(error);
}

int32_t kc_file_read(kc_file* file, uint64_t offset, size_t size, uint8_t* out, kc_error* error) {
  clear(error);
  if (file == nullptr || out == nullptr) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  const uint64_t whole_size = file->packed.container.original_size;
  if (offset > whole_size || size > whole_size - offset) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  kc::Target target;
  target.memory = out;
  target.first = offset;
  target.size = size;
  return size == 0 ? KC_OK : file->packed.put_range(target, error);
}

int32_t kc_file_tensors(kc_file* file, kc_tensor* tensors, size_t capacity, size_t* count, kc_error* error) {
  return walk_file(file, count, error, [&](const uint8_t* graph, size_t size) {
    return kc_tensors(graph, size, tensors, capacity, count);
  });
}

int32_t kc_file_parts(kc_file* file, kc_part* parts, size_t capacity, size_t* count, kc_error* error) {
  return walk_file(file, count, error, [&](const uint8_t* graph, size_t size) {
    return kc_parts(graph, size, parts, capacity, count);
  });
}

}  // extern "C"
