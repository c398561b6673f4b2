// The C ABI's packing.
#include "candidates.h"
#include "capi_parts.h"
#include "keras_compress.h"

struct kc_job {
  kc::Candidates candidates;
};

using kc::clear;
using kc::describe_extents;
using kc::drop;
using kc::fail;
using kc::make;
using kc::summarize;

extern "C" {

int32_t kc_pack(const uint8_t* data, size_t size, int32_t codec, kc_bytes* out, kc_error* error) {
  kc_summary summary;
  return kc_pack_report(data, size, codec, out, &summary, nullptr, 0, error);
}

int32_t kc_pack_report(const uint8_t* data, size_t size, int32_t codec, kc_bytes* out, kc_summary* summary,
                       kc_extent* extents, size_t capacity, kc_error* error) {
  kc_job* job = nullptr;
  uint32_t sections = 0;
  clear(error);
  if (out == nullptr || summary == nullptr) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  int32_t status = kc_pack_open(data, size, codec, &job, &sections, error);
  if (status == KC_OK) status = kc_pack_close(job, out, summary, extents, capacity, error);
  return status;
}

int32_t kc_pack_open(const uint8_t* data, size_t size, int32_t codec, kc_job** job, uint32_t* sections,
                     kc_error* error) {
  clear(error);
  if ((data == nullptr && size != 0) || job == nullptr || sections == nullptr || codec < KC_CODEC_AUTO ||
      codec > KC_CODEC_SMALLEST) {
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  *job = make<kc_job>();
  if (*job == nullptr) return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  if (!(*job)->candidates.open(data, size, codec)) {
    drop(*job);
    *job = nullptr;
    return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  }
  *sections = (*job)->candidates.sections();
  return KC_OK;
}

void kc_pack_section(kc_job* job, uint32_t section) {
  if (job != nullptr) job->candidates.work(section);
}

int32_t kc_pack_close(kc_job* job, kc_bytes* out, kc_summary* summary, kc_extent* extents, size_t capacity,
                      kc_error* error) {
  clear(error);
  if (job == nullptr || out == nullptr || summary == nullptr) {
    drop(job);
    return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  kc::Bytes packed;
  const int32_t status = job->candidates.finish(&packed, error);
  if (status == KC_OK) {
    const kc::Packing& packing = job->candidates.packing();
    summarize(packing.plan, job->candidates.size(), packed.size(), summary);
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

int32_t kc_pack_patch(const uint8_t* data, size_t size, const uint8_t* base, size_t base_size, kc_bytes* out,
                      kc_error* error) {
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

}  // extern "C"
