#include "packed_file.h"

#include "checksum.h"
#include "section_parts.h"
#include "sections.h"
#include "stop.h"
#include "unpack.h"

namespace kc {
namespace {

constexpr size_t kPiece = 1u << 16;

kc_place place_of(uint32_t section) { return section == 0 ? KC_PLACE_SKELETON : KC_PLACE_DATA; }

}  // namespace

bool Target::put(uint64_t offset, const uint8_t* data, size_t count) const {
  if (sink != nullptr) return count == 0 || sink->write(sink->context, offset, data, count) == 0;
  if (memory == nullptr || count == 0 || !holds(offset, count)) return true;
  uint64_t skip = offset < first ? first - offset : 0, end = offset + count;
  if (end > first + size) end = first + size;
  uint8_t* to = memory + (offset + skip - first);
  if (to != data + skip) memmove(to, data + skip, static_cast<size_t>(end - offset - skip));
  return true;
}

int32_t PackedFile::open(const Source& source, uint64_t max_size, kc_error* error, const uint8_t* base,
                         size_t base_size) {
  source_ = source;
  int32_t status = read_frame(source, &container, error);
  if (status != KC_OK) return status;
  if ((max_size != 0 && container.original_size > max_size) || container.original_size > SIZE_MAX / 4) {
    if (error != nullptr) error->value = container.original_size;
    return fail(error, KC_ERROR_LIMIT, KC_PLACE_HEADER);
  }
  if (container.form == kFormPatch) {
    if (base == nullptr || base_size != container.base_size ||
        crc32c(0, base, base_size) != container.base_crc) {
      if (error != nullptr) error->value = container.base_size;
      return fail(error, base == nullptr ? KC_ERROR_NO_BASE : KC_ERROR_BASE, KC_PLACE_HEADER);
    }
    plan.is_patch = true;
    plan.base = base;
    plan.base_size = base_size;
  }
  return begin(error);
}

int32_t PackedFile::begin(kc_error* error) {
  if (!done_.reset(container.sections.size())) return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  if (stored()) return KC_OK;
  Bytes own;
  Span first;
  int32_t status = load(0, &own, &first, error);
  if (status == KC_OK) status = read_skeleton(container, first, &plan, &skeleton_, error);
  if (status == KC_OK && !find_roots()) status = fail(error, KC_ERROR_MEMORY, KC_PLACE_SKELETON);
  return status;
}

int32_t PackedFile::load(uint32_t section, Bytes* own, Span* payload, kc_error* error) const {
  *payload = container.sections[section];
  if (payload->data != nullptr) return KC_OK;  // in memory, and checked
  const uint8_t* data = nullptr;
  const bool summed = container.form == kFormCompact;  // with the whole file
  kc_status status = source_.take(payload->offset, payload->size + (summed ? 0 : 4), own, &data);
  if (status != KC_OK) return fail(error, status, place_of(section), section);
  if (!summed && load32(data + payload->size) != crc32c(0, data, payload->size)) {
    return fail(error, KC_ERROR_CHECKSUM, place_of(section), section);
  }
  payload->data = data;
  return KC_OK;
}

bool PackedFile::find_roots() {
  const size_t count = plan.extents.size();
  if (!roots_.reset(count) || !next_copy_.reset(count)) return false;
  for (size_t i = 0; i < count; ++i) {
    const Extent& e = plan.extents[i];
    roots_[i] = static_cast<uint32_t>(i);
    if (e.method != kMethodCopy) continue;
    const uint32_t root = roots_[i - static_cast<size_t>(e.back)];
    roots_[i] = root;
    next_copy_[i] = next_copy_[root];
    next_copy_[root] = static_cast<uint32_t>(i + 1);
  }
  return true;
}

int32_t PackedFile::put_extent(const Extent& e, const uint8_t* data, const Target& target,
                               kc_error* error) const {
  const size_t size = static_cast<size_t>(e.size);
  bool good = target.put(e.offset, data, size);
  size_t next = next_copy_[static_cast<size_t>(&e - plan.extents.data())];
  for (; good && next != 0; next = next_copy_[next - 1]) {
    good = target.put(plan.extents[next - 1].offset, data, size);
  }
  return good ? KC_OK : fail(error, KC_ERROR_CALLER, KC_PLACE_NONE);
}

int32_t PackedFile::put_section(uint32_t number, const Target& target, kc_error* error) {
  if (number == 0 || number > data_sections()) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  if (stopped()) return fail(error, KC_ERROR_STOPPED, KC_PLACE_NONE);
  Bytes own;
  Span payload;
  int32_t status = load(number, &own, &payload, error);
  if (status != KC_OK) return status;
  // Into the target's memory at once where it holds the whole file, else side by side.
  const bool direct = target.memory != nullptr && target.size == container.original_size;
  uint64_t bytes = 0;
  each_extent(plan, number, [&](Extent& e) {
    e.place = direct ? e.offset : bytes;
    bytes += e.size;
    return true;
  });
  Bytes room;
  uint8_t* base = target.memory;
  if (!direct) base = room.extend(static_cast<size_t>(bytes) + 1);
  Decoded result =
      base == nullptr ? Decoded::kMemory : decode_section(&plan, number, payload.data, payload.size, base);
  if (result != Decoded::kDone) {
    return fail(error, status_of(result), KC_PLACE_DATA, number);
  }
  each_extent(plan, number, [&](Extent& e) {
    e.crc = crc32c(0, base + e.place, static_cast<size_t>(e.size));
    status = put_extent(e, base + e.place, target, error);
    return status == KC_OK;
  });
  done_[number] = 1;
  return status;
}

int32_t PackedFile::put_stored(const Target& target, kc_error* error) {
  const Span& whole = container.sections[0];
  uint32_t crc = 0;
  Bytes own;
  const uint8_t* data = nullptr;
  for (size_t done = 0; done < whole.size;) {
    const size_t count = whole.size - done < kPiece ? whole.size - done : kPiece;
    kc_status status = KC_OK;
    if (stopped()) return fail(error, KC_ERROR_STOPPED, KC_PLACE_NONE);
    if (whole.data != nullptr) {
      data = whole.data + done;
    } else {
      status = source_.take(whole.offset + done, count, &own, &data);
    }
    if (status != KC_OK) return fail(error, status, KC_PLACE_SKELETON);
    crc = crc32c(crc, data, count);
    if (!target.put(done, data, count)) return fail(error, KC_ERROR_CALLER, KC_PLACE_NONE);
    done += count;
  }
  if (whole.data == nullptr) {
    kc_status status = source_.take(whole.offset + whole.size, 4, &own, &data);
    if (status != KC_OK) return fail(error, status, KC_PLACE_SKELETON);
    if (load32(data) != crc) return fail(error, KC_ERROR_CHECKSUM, KC_PLACE_SKELETON);
  }
  gap_crcs_.clear();
  return gap_crcs_.push(crc) ? KC_OK : fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
}

int32_t PackedFile::put_outside(const Target& target, kc_error* error, bool summed) {
  if (stopped()) return fail(error, KC_ERROR_STOPPED, KC_PLACE_NONE);
  if (stored()) {
    done_[0] = 1;
    return put_stored(target, error);
  }
  if (summed) done_[0] = 1;
  gap_crcs_.clear();
  size_t used = 0;
  uint64_t offset = 0;
  for (size_t i = 0; i <= plan.extents.size(); ++i) {
    const bool last = i == plan.extents.size();
    const size_t gap = last ? skeleton_.size() - used : static_cast<size_t>(plan.extents[i].gap);
    if (summed && !gap_crcs_.push(gap == 0 ? 0 : crc32c(0, skeleton_.data() + used, gap))) {
      return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
    }
    if (gap != 0 && !target.put(offset, skeleton_.data() + used, gap)) {
      return fail(error, KC_ERROR_CALLER, KC_PLACE_NONE);
    }
    used += gap;
    offset += gap;
    if (last) break;
    Extent& e = plan.extents[i];
    offset += e.size;
    int32_t status = KC_OK;
    if (e.method == kMethodBase) {
      if (summed) e.crc = crc32c(0, plan.base + e.base, static_cast<size_t>(e.size));
      status = put_extent(e, plan.base + e.base, target, error);
    } else if (e.method == kMethodFill) {
      status = put_fill(i, target, error, summed);
    }
    if (status != KC_OK) return status;
  }
  return KC_OK;
}

// A fill and its copies, piece by piece.
int32_t PackedFile::put_fill(size_t number, const Target& target, kc_error* error, bool summed) {
  Extent& e = plan.extents[number];
  uint8_t piece[4096];
  memset(piece, e.fill, sizeof piece);
  e.crc = 0;
  for (size_t next = number + 1; next != 0; next = next_copy_[next - 1]) {
    const uint64_t start = plan.extents[next - 1].offset;
    const bool sum = summed && next == number + 1;
    if (!sum && !target.holds(start, e.size)) continue;
    for (uint64_t at = 0; at < e.size; at += sizeof piece) {
      if (stopped()) return fail(error, KC_ERROR_STOPPED, KC_PLACE_NONE);
      const size_t count = e.size - at < sizeof piece ? static_cast<size_t>(e.size - at) : sizeof piece;
      if (sum) e.crc = crc32c(e.crc, piece, count);
      if (!target.put(start + at, piece, count)) return fail(error, KC_ERROR_CALLER, KC_PLACE_NONE);
    }
  }
  return KC_OK;
}

void PackedFile::put_graph(uint8_t* memory) const {
  size_t used = 0;
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    const Extent& e = plan.extents[i];
    if (e.gap != 0) memcpy(memory + (e.offset - e.gap), skeleton_.data() + used, static_cast<size_t>(e.gap));
    used += static_cast<size_t>(e.gap);
    // Of a patch, some of the graph may stand in the base, around a tensor that did not change.
    if (e.method == kMethodBase) memcpy(memory + e.offset, plan.base + e.base, static_cast<size_t>(e.size));
  }
  const size_t left = skeleton_.size() - used;
  if (left != 0) memcpy(memory + (container.original_size - left), skeleton_.data() + used, left);
}

int32_t PackedFile::finish(kc_error* error) {
  for (size_t s = 0; s < (stored() ? 1 : done_.size()); ++s) {
    if (done_[s] == 0) return fail(error, KC_ERROR_ARGUMENT, KC_PLACE_NONE);
  }
  uint32_t crc = gap_crcs_[0];
  for (size_t i = 0; !stored() && i < plan.extents.size(); ++i) {
    const Extent& e = plan.extents[i];
    crc = crc32c_joined(crc, plan.extents[roots_[i]].crc, e.size);
    const uint64_t gap =
        i + 1 < plan.extents.size() ? plan.extents[i + 1].gap : container.original_size - e.offset - e.size;
    crc = crc32c_joined(crc, gap_crcs_[i + 1], gap);
  }
  return crc == container.original_crc ? KC_OK : fail(error, KC_ERROR_CHECKSUM, KC_PLACE_WHOLE);
}

int32_t PackedFile::put_all(const Target& target, kc_error* error) {
  int32_t status = put_outside(target, error);
  for (uint32_t s = 1; s <= data_sections() && status == KC_OK; ++s) {
    status = put_section(s, target, error);
  }
  return status == KC_OK ? finish(error) : status;
}

int32_t PackedFile::put_range(const Target& target, kc_error* error) {
  int32_t status = put_outside(target, error, false);
  Array<uint8_t> wanted(static_cast<size_t>(data_sections()) + 1);
  if (!wanted.ok()) return fail(error, KC_ERROR_MEMORY, KC_PLACE_NONE);
  for (size_t i = 0; i < plan.extents.size(); ++i) {
    const Extent& e = plan.extents[i];
    if (target.holds(e.offset, e.size)) wanted[plan.extents[roots_[i]].section] = 1;
  }
  for (uint32_t s = 1; s <= data_sections() && status == KC_OK; ++s) {
    if (wanted[s] != 0) status = put_section(s, target, error);
  }
  return status;
}

}  // namespace kc
