// The C ABI's versions, names, graphs, and whole files restored.
#include "bundle.h"
#include "capi_parts.h"
#include "keras_compress.h"
#include "methods.h"
#include "statistics.h"
#include "stop.h"

using kc::clear;
using kc::describe_extents;
using kc::fail;
using kc::open_bytes;
using kc::summarize;
using kc::whole;

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

int32_t kc_unpacked_size(const uint8_t* packed, size_t size, uint64_t* out, kc_error* error) {
  clear(error);
  if ((packed == nullptr && size != 0) || out == nullptr) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  kc::Container container;
  static const uint8_t kNothing = 0;
  int32_t status = kc::read_frame(kc::Source(size == 0 ? &kNothing : packed, size), &container, error);
  if (status == KC_OK) *out = container.original_size;
  return status;
}

int32_t kc_unpack(const uint8_t* packed, size_t size, uint64_t max_size, kc_bytes* out, kc_error* error) {
  kc_summary summary;
  return kc_inspect(packed, size, max_size, out, &summary, nullptr, 0, error);
}

int32_t kc_unpack_into(const uint8_t* packed, size_t size, uint8_t* out, size_t capacity, size_t* written,
                       kc_error* error) {
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

int32_t kc_inspect(const uint8_t* packed, size_t size, uint64_t max_size, kc_bytes* out, kc_summary* summary,
                   kc_extent* extents, size_t capacity, kc_error* error) {
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

int32_t kc_tensors(const uint8_t* model, size_t size, kc_tensor* tensors, size_t capacity, size_t* count) {
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
  const kc::MethodInfo* info =
      method < kc::kMethodCount ? kc::find_method(static_cast<uint8_t>(method)) : nullptr;
  return info == nullptr ? "unknown" : info->name;
}

}  // extern "C"
