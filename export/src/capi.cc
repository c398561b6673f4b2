#include "bundle.h"
#include "keras_compress.h"
#include "methods.h"
#include "pack.h"
#include "packed_file.h"
#include "statistics.h"
#include "stop.h"
#include "zeroed_pages.h"

// The codec that was asked for and, of smaller files, those that restore faster: where one of them
// happens to be smaller, it is taken.
struct kc_job {
  kc::PackJob work[4];
  int count = 0;

  uint32_t sections() const {
    uint32_t all = 0;
    for (int i = 0; i < count; ++i) all += work[i].sections();
    return all;
  }
};

struct kc_file {
  kc::PackedFile packed;
};

// Placement only: the library has no C++ runtime to allocate with.
inline void* operator new(size_t, void* place) noexcept { return place; }

namespace {

using kc::fail;

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

// Bytes of a file that is packed with all codecs in question.
constexpr size_t kMostTriedWhole = 1u << 20;
// From the smallest files to the fastest restoring.
constexpr int32_t kCodecs[] = {KC_CODEC_SMALLEST, KC_CODEC_AUTO, KC_CODEC_SMALL, KC_CODEC_FAST};

void clear(kc_error* error) {
  if (error != nullptr) memset(error, 0, sizeof *error);
}

int32_t open_bytes(const uint8_t* packed, size_t size, uint64_t max_size, kc::PackedFile* file,
                   kc_error* error) {
  clear(error);
  if (packed == nullptr && size != 0) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  static const uint8_t kNothing = 0;
  return file->open(kc::Source(size == 0 ? &kNothing : packed, size), max_size, error);
}

kc::Target whole(const kc::PackedFile& file, uint8_t* memory) {
  kc::Target target;
  target.memory = memory;
  target.size = file.container.original_size;
  return target;
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

void describe_extents(const kc::Plan& plan, kc_extent* extents, size_t capacity) {
  for (size_t i = 0; extents != nullptr && i < plan.extents.size() && i < capacity; ++i) {
    describe(plan.extents[i], &extents[i]);
  }
}

void summarize(const kc::Plan& plan, uint64_t original_size, uint64_t packed_size,
               kc_summary* summary) {
  memset(summary, 0, sizeof *summary);
  summary->format_version = kc::kFormatVersion;
  summary->original_size = original_size;
  summary->packed_size = packed_size;
  summary->extents = static_cast<uint32_t>(plan.extents.size());
}

void summarize(const kc::PackedFile& file, uint64_t packed_size, kc_summary* summary) {
  summarize(file.plan, file.container.original_size, packed_size, summary);
  summary->sections = static_cast<uint32_t>(file.container.sections.size());
  summary->skeleton_size = file.skeleton_size();
  summary->skeleton_packed = file.container.sections[0].size;
}

// Calls `work` with the original's graph at its places, of an opened file.
template <typename Work>
int32_t walk_file(kc_file* file, size_t* count, kc_error* error, Work work) {
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

uint32_t kc_abi_version(void) { return KC_ABI_VERSION; }
#ifndef KC_WITHOUT_STOP
const int32_t* kc_watch(const int32_t* stop) {
  const int32_t* before = kc::stop_flag;
  kc::stop_flag = stop;
  return before;
}
#endif

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
      codec < KC_CODEC_AUTO || codec > KC_CODEC_SMALLEST) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  *job = make<kc_job>();
  if (*job == nullptr) return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  bool opened = true;
  for (const int32_t tried : kCodecs) {
    const bool asked = tried == codec;
    if (!opened || (!asked && ((*job)->count == 0 || size > kMostTriedWhole))) continue;
    opened = (*job)->work[(*job)->count++].open(data, size, tried);
  }
  if (!opened) {
    drop(*job);
    *job = nullptr;
    return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  }
  *sections = (*job)->sections();
  return KC_OK;
}

void kc_pack_section(kc_job* job, uint32_t section) {
  for (int i = 0; job != nullptr && i < job->count; ++i) {
    const uint32_t own = job->work[i].sections();
    if (section < own) return job->work[i].work(section);
    section -= own;
  }
}

int32_t kc_pack_close(kc_job* job, kc_bytes* out, kc_summary* summary, kc_extent* extents,
                      size_t capacity, kc_error* error) {
  clear(error);
  if (job == nullptr || out == nullptr || summary == nullptr) {
    drop(job);
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  kc::Bytes packed;
  int taken = 0;
  int32_t status = KC_OK;
  for (int i = 0; i < job->count && status == KC_OK; ++i) {
    kc::Bytes other;
    status = job->work[i].finish(&other, error);
    if (status == KC_OK && (i == 0 || other.size() <= packed.size())) packed.swap(other), taken = i;
  }
  if (status == KC_OK) {
    const kc::Packing& packing = job->work[taken].packing;
    summarize(packing.plan, job->work[taken].size(), packed.size(), summary);
    summary->sections = packing.stored ? 1 : packing.sections;
    summary->skeleton_size = packing.stored ? summary->original_size : packing.skeleton_size;
    summary->skeleton_packed = packing.stored ? summary->original_size : packing.skeleton_packed;
    if (packing.stored) summary->extents = 0;
    describe_extents(packing.plan, extents, summary->extents < capacity ? summary->extents : capacity);
    out->size = packed.size();
    out->data = packed.release();
  }
  drop(job);
  return status;
}

int32_t kc_pack_patch(const uint8_t* data, size_t size, const uint8_t* base, size_t base_size,
                      kc_bytes* out, kc_error* error) {
  clear(error);
  if ((data == nullptr && size != 0) || base == nullptr || out == nullptr) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  kc::PackJob job;
  if (!job.open(data, size, KC_CODEC_SMALLEST, base, base_size)) {
    return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  }
  kc::Bytes packed;
  int32_t status = job.finish(&packed, error);
  if (status != KC_OK) return status;
  // Where the base is of no use, the file by itself is smaller, and restored without it.
  kc_bytes whole = {};
  status = kc_pack(data, size, KC_CODEC_SMALLEST, &whole, error);
  if (status != KC_OK) return status;
  if (whole.size <= packed.size()) {
    *out = whole;
    return KC_OK;
  }
  kc_free(&whole);
  out->size = packed.size();
  out->data = packed.release();
  return KC_OK;
}

int32_t kc_unpacked_size(const uint8_t* packed, size_t size, uint64_t* out, kc_error* error) {
  clear(error);
  if ((packed == nullptr && size != 0) || out == nullptr) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  kc::Container container;
  static const uint8_t kNothing = 0;
  int32_t status =
      kc::read_frame(kc::Source(size == 0 ? &kNothing : packed, size), &container, error);
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
  kc::PackedFile file;
  uint64_t original = 0;
  int32_t status = kc_unpacked_size(packed, size, &original, error);
  if (status == KC_OK && original > capacity) {
    if (error != nullptr) error->value = original;
    return fail(error, KC_ERROR_LIMIT, KC_PLACE_HEADER);
  }
  if (status == KC_OK) status = open_bytes(packed, size, 0, &file, error);
  if (status == KC_OK) status = file.put_all(whole(file, out), error);
  if (status == KC_OK) *written = static_cast<size_t>(file.container.original_size);
  return status;
}

int32_t kc_verify(const uint8_t* packed, size_t size, uint64_t max_size, kc_error* error) {
  kc::PackedFile file;
  int32_t status = open_bytes(packed, size, max_size, &file, error);
  return status == KC_OK ? file.put_all(kc::Target(), error) : status;
}

int32_t kc_inspect(const uint8_t* packed, size_t size, uint64_t max_size, kc_bytes* out,
                   kc_summary* summary, kc_extent* extents, size_t capacity, kc_error* error) {
  kc::PackedFile file;
  int32_t status = open_bytes(packed, size, max_size, &file, error);
  if (status != KC_OK) return status;
  const size_t original = static_cast<size_t>(file.container.original_size);
  uint8_t* data = static_cast<uint8_t*>(malloc(original + 1));
  if (data == nullptr) return fail(error, KC_ERROR_MEMORY, KC_PLACE_WHOLE);
  status = file.put_all(whole(file, data), error);
  if (status != KC_OK) {
    free(data);
    return status;
  }
  summarize(file, size, summary);
  describe_extents(file.plan, extents, capacity);
  out->data = data;
  out->size = original;
  return KC_OK;
}

int32_t kc_file_open(const kc_source* source, uint64_t max_size, kc_file** file,
                     kc_summary* summary, kc_error* error) {
  return kc_file_open_patch(source, nullptr, 0, max_size, file, summary, error);
}

int32_t kc_file_open_patch(const kc_source* source, const uint8_t* base, size_t base_size,
                           uint64_t max_size, kc_file** file, kc_summary* summary,
                           kc_error* error) {
  clear(error);
  if (source == nullptr || file == nullptr || summary == nullptr ||
      !kc::Source(*source).usable()) {
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

int32_t kc_file_tensors(kc_file* file, kc_tensor* tensors, size_t capacity, size_t* count,
                        kc_error* error) {
  return walk_file(file, count, error, [&](const uint8_t* graph, size_t size) {
    return kc_tensors(graph, size, tensors, capacity, count);
  });
}

int32_t kc_file_parts(kc_file* file, kc_part* parts, size_t capacity, size_t* count, kc_error* error) {
  return walk_file(file, count, error, [&](const uint8_t* graph, size_t size) {
    return kc_parts(graph, size, parts, capacity, count);
  });
}

int32_t kc_tensors(const uint8_t* model, size_t size, kc_tensor* tensors, size_t capacity,
                   size_t* count) {
  kc::BundleWalker walker;
  if (!walker.walk(model, size)) return KC_ERROR_MALFORMED;
  *count = walker.tensors().size();
  for (size_t i = 0; i < *count && i < capacity; ++i) tensors[i] = walker.tensors()[i];
  return KC_OK;
}

int32_t kc_parts(const uint8_t* bundle, size_t size, kc_part* parts, size_t capacity, size_t* count) {
  kc::BundleWalker walker;
  if (count == nullptr) return KC_ERROR_ARGUMENT;
  if (!walker.walk(bundle, size)) return KC_ERROR_MALFORMED;
  *count = walker.parts().size();
  for (size_t i = 0; i < *count && i < capacity; ++i) parts[i] = walker.parts()[i];
  return KC_OK;
}

int32_t kc_unlisted_parts(const uint8_t* model, size_t size, kc_unlisted* out) {
  kc::BundleWalker walker;
  if (out == nullptr) return KC_ERROR_ARGUMENT;
  if (!walker.walk(model, size)) return KC_ERROR_MALFORMED;
  *out = walker.unlisted();
  return KC_OK;
}

int32_t kc_count_values(const uint8_t* data, size_t size, int32_t width, int32_t is_float,
                        kc_statistics* out) {
  if ((data == nullptr && size != 0) || out == nullptr ||
      (width != 1 && width != 2 && width != 4 && width != 8)) {
    return KC_ERROR_ARGUMENT;
  }
  return kc::count_values(data, size, width, is_float != 0, out)
             ? KC_OK
             : fail(nullptr, KC_ERROR_MEMORY, KC_PLACE_NONE);
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
    case KC_ERROR_UNSUPPORTED: return "it uses what this version does not know";
    case KC_ERROR_MALFORMED: return "a field holds a value that no writer writes";
    case KC_ERROR_NO_BASE: return "a patch needs the file it was made for";
    case KC_ERROR_BASE: return "the patch was made for another file";
    case KC_ERROR_STOPPED: return "stopped by the caller";
    case KC_ERROR_CALLER: return "reading or writing failed";
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
  const kc::MethodInfo* info = method < kc::kMethodCount ? kc::find_method(static_cast<uint8_t>(method)) : nullptr;
  return info == nullptr ? "unknown" : info->name;
}

}  // extern "C"
