// Any bytes as plan, skeleton and data sections in their plain forms, of a patch with any bytes as its
// base, too: what stands behind the frame, the checksums and the entropy coder of the skeleton.
#include "keras_compress.h"
#include "packed_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  // Head: sizes of original, plan, skeleton and base; then the bytes, then what is left as sections.
  const size_t original = kc::load16(data), plan_size = data[2], skeleton_size = kc::load16(data + 3);
  const size_t sections = data[5] % 5;
  const bool patch = data[5] >= 128;
  const size_t base_size = patch ? data[6] : 0;
  data += 7, size -= 7;
  if (base_size + plan_size + skeleton_size > size) return 0;
  kc::Bytes base;  // of its own, so that the sanitizer sees a step too far
  base.append(data, base_size);
  base.push(0);
  data += base_size, size -= base_size;
  kc::Bytes first;
  first.push(0);
  first.varint(plan_size);
  first.varint(skeleton_size);
  first.append(data, plan_size + skeleton_size);
  data += plan_size + skeleton_size, size -= plan_size + skeleton_size;
  kc::PackedFile file;
  kc::Container& container = file.container;
  container.form = patch ? kc::kFormPatch : kc::kFormModelled;
  file.plan.is_patch = patch;
  file.plan.base = base.data();
  file.plan.base_size = base_size;
  container.original_size = original;
  kc::Span span;
  span.data = first.data();
  span.size = first.size();
  container.sections.push(span);
  for (size_t i = 0; i < sections; ++i) {
    span.data = data;
    span.size = size / (sections - i);
    data += span.size, size -= span.size;
    container.sections.push(span);
  }
  kc::Bytes out;
  uint8_t* restored = out.extend(original + 1);
  kc_error error;
  kc::Target target;
  target.memory = restored;
  target.size = original;
  if (file.begin(&error) == KC_OK) file.put_all(target, &error);
  return 0;
}
