#include "checksum.h"
#include "flatbuffer.h"
#include "keras_compress.h"
#include "pack.h"
#include "statistics.h"
#include "unpack.h"

struct kc_job {
  kc::PackJob work;
};

// Placement only: the library has no C++ runtime to allocate with.
inline void* operator new(size_t, void* place) noexcept { return place; }

namespace {

using kc::fail;

void drop(kc_job* job) {
  if (job == nullptr) return;
  job->~kc_job();
  free(job);
}

void clear(kc_error* error) {
  if (error != nullptr) memset(error, 0, sizeof *error);
}

int32_t open_container(const uint8_t* packed, size_t size, kc::Container* container,
                       kc_error* error) {
  clear(error);
  if (packed == nullptr && size != 0) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  return kc::read_container(packed, size, container, error);
}

int32_t over_limit(const kc::Container& container, kc_error* error) {
  if (error != nullptr) error->value = container.original_size;
  return fail(error, KC_ERROR_LIMIT, KC_PLACE_HEADER);
}

void describe(const kc::Extent& e, kc_extent* out) {
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

void describe_all(const kc::Plan& plan, size_t skeleton_size, size_t skeleton_packed,
                  uint32_t sections, kc_summary* summary, kc_extent* extents, size_t capacity) {
  summary->sections = sections;
  summary->skeleton_size = skeleton_size;
  summary->skeleton_packed = skeleton_packed;
  summary->extents = static_cast<uint32_t>(plan.extents.size());
  for (size_t i = 0; extents != nullptr && i < plan.extents.size() && i < capacity; ++i) {
    describe(plan.extents[i], &extents[i]);
  }
}

}  // namespace

extern "C" {

uint32_t kc_abi_version(void) { return KC_ABI_VERSION; }
uint32_t kc_format_version(void) { return kc::kFormatVersion; }

int32_t kc_pack(const uint8_t* data, size_t size, int32_t codec, kc_bytes* out, kc_error* error) {
  kc_summary summary;
  return kc_pack_report(data, size, codec, out, &summary, nullptr, 0, error);
}

int32_t kc_pack_report(const uint8_t* data, size_t size, int32_t codec, kc_bytes* out,
                       kc_summary* summary, kc_extent* extents, size_t capacity,
                       kc_error* error) {
  kc_job* job = nullptr;
  uint32_t sections = 0;
  clear(error);
  if (out == nullptr || summary == nullptr) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  int32_t status = kc_pack_open(data, size, codec, &job, &sections, error);
  if (status == KC_OK) status = kc_pack_close(job, out, summary, extents, capacity, error);
  return status;
}

int32_t kc_pack_open(const uint8_t* data, size_t size, int32_t codec, kc_job** job,
                     uint32_t* sections, kc_error* error) {
  clear(error);
  if ((data == nullptr && size != 0) || job == nullptr || sections == nullptr ||
      codec < KC_CODEC_AUTO || codec > KC_CODEC_SMALL) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  void* memory = malloc(sizeof(kc_job));
  if (memory == nullptr) return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  *job = new (memory) kc_job();
  if (!(*job)->work.open(data, size, codec)) {
    drop(*job);
    *job = nullptr;
    return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  }
  *sections = (*job)->work.sections();
  return KC_OK;
}

void kc_pack_section(kc_job* job, uint32_t section) {
  if (job != nullptr) job->work.work(section);
}

int32_t kc_pack_close(kc_job* job, kc_bytes* out, kc_summary* summary, kc_extent* extents,
                      size_t capacity, kc_error* error) {
  clear(error);
  if (job == nullptr || out == nullptr || summary == nullptr) {
    drop(job);
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  kc::Bytes packed;
  const kc::Packing& packing = job->work.packing;
  int32_t status = job->work.finish(&packed, error);
  if (status == KC_OK) {
    const uint64_t size = job->work.size();
    memset(summary, 0, sizeof *summary);
    summary->format_version = kc::kFormatVersion;
    summary->original_size = size;
    summary->packed_size = packed.size();
    if (packing.stored) {
      summary->sections = 1;
      summary->skeleton_size = summary->skeleton_packed = size;
    } else {
      describe_all(packing.plan, packing.skeleton_size, packing.skeleton_packed, packing.sections,
                   summary, extents, capacity);
    }
    out->size = packed.size();
    out->data = packed.release();
  }
  drop(job);
  return status;
}

int32_t kc_unpacked_size(const uint8_t* packed, size_t size, uint64_t* out, kc_error* error) {
  kc::Container container;
  int32_t status = open_container(packed, size, &container, error);
  if (status == KC_OK) *out = container.original_size;
  return status;
}

int32_t kc_unpack(const uint8_t* packed, size_t size, uint64_t max_size, kc_bytes* out,
                  kc_error* error) {
  kc_summary summary;
  return kc_inspect(packed, size, max_size, out, &summary, nullptr, 0, error);
}

int32_t kc_unpack_into(const uint8_t* packed, size_t size, uint8_t* out, size_t capacity,
                       size_t* written, kc_error* error) {
  kc::Container container;
  int32_t status = open_container(packed, size, &container, error);
  if (status != KC_OK) return status;
  if (container.original_size > capacity) return over_limit(container, error);
  kc::Plan plan;
  size_t skeleton_size = 0;
  status = kc::restore(container, out, &plan, &skeleton_size, error);
  if (status == KC_OK) *written = static_cast<size_t>(container.original_size);
  return status;
}

int32_t kc_verify(const uint8_t* packed, size_t size, uint64_t max_size, kc_error* error) {
  kc_bytes restored = {nullptr, 0};
  int32_t status = kc_unpack(packed, size, max_size, &restored, error);
  kc_free(&restored);
  return status;
}

int32_t kc_inspect(const uint8_t* packed, size_t size, uint64_t max_size, kc_bytes* out,
                   kc_summary* summary, kc_extent* extents, size_t capacity, kc_error* error) {
  kc::Container container;
  int32_t status = open_container(packed, size, &container, error);
  if (status != KC_OK) return status;
  if ((max_size != 0 && container.original_size > max_size) ||
      container.original_size > SIZE_MAX / 4) {
    return over_limit(container, error);
  }
  size_t original = static_cast<size_t>(container.original_size);
  uint8_t* data = static_cast<uint8_t*>(malloc(original + 1));
  if (data == nullptr) return fail(error, KC_ERROR_MEMORY, KC_PLACE_WHOLE);
  kc::Plan plan;
  size_t skeleton_size = original;
  status = kc::restore(container, data, &plan, &skeleton_size, error);
  if (status != KC_OK) {
    free(data);
    return status;
  }
  memset(summary, 0, sizeof *summary);
  summary->format_version = kc::kFormatVersion;
  summary->original_size = original;
  summary->packed_size = size;
  describe_all(plan, skeleton_size, container.sections[0].size,
               static_cast<uint32_t>(container.sections.size()), summary, extents, capacity);
  out->data = data;
  out->size = original;
  return KC_OK;
}

int32_t kc_tensors(const uint8_t* model, size_t size, kc_tensor* tensors, size_t capacity,
                   size_t* count) {
  kc::ModelWalker walker;
  if (!walker.walk(model, size)) return KC_ERROR_MALFORMED;
  *count = walker.tensors().size();
  for (size_t i = 0; i < *count && i < capacity; ++i) tensors[i] = walker.tensors()[i];
  return KC_OK;
}

int32_t kc_count_values(const uint8_t* data, size_t size, int32_t width, int32_t is_float,
                        kc_statistics* out) {
  if ((data == nullptr && size != 0) || out == nullptr ||
      (width != 1 && width != 2 && width != 4 && width != 8)) {
    return KC_ERROR_ARGUMENT;
  }
  return kc::count_values(data, size, width, is_float != 0, out) ? KC_OK : KC_ERROR_MEMORY;
}

void kc_free(kc_bytes* bytes) {
  if (bytes == nullptr) return;
  free(bytes->data);
  bytes->data = nullptr;
  bytes->size = 0;
}

const char* kc_status_message(int32_t status) {
  switch (status) {
    case KC_OK: return "done";
    case KC_ERROR_ARGUMENT: return "an argument is null or unknown";
    case KC_ERROR_MEMORY: return "not enough memory";
    case KC_ERROR_LIMIT: return "the declared size is over the limit";
    case KC_ERROR_NOT_PACKED: return "not a packed file";
    case KC_ERROR_VERSION: return "written by a newer version";
    case KC_ERROR_TRUNCATED: return "the file ends early";
    case KC_ERROR_TRAILING: return "bytes follow the last section";
    case KC_ERROR_CHECKSUM: return "the checksum does not match";
    case KC_ERROR_MALFORMED: return "a field holds a value that no writer writes";
    default: return "unknown error";
  }
}

const char* kc_place_name(int32_t place) {
  switch (place) {
    case KC_PLACE_HEADER: return "header";
    case KC_PLACE_SKELETON: return "skeleton section";
    case KC_PLACE_DATA: return "data section";
    case KC_PLACE_WHOLE: return "whole file";
    default: return "";
  }
}

const char* kc_method_name(uint32_t method) {
  static const char* const kNames[kc::kMethodCount] = {
      "raw", "fill", "copy", "bytes", "symbols", "floats", "huffman", "gaps", "planes"};
  return method < kc::kMethodCount ? kNames[method] : "unknown";
}

}  // extern "C"
