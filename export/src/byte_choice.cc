#include "byte_choice.h"

#include "entropy.h"
#include "methods.h"
#include "sections.h"
#include "stop.h"

namespace kc {
namespace {

constexpr uint64_t kShortest = 128;
constexpr uint64_t kMaxOfBytes = 1u << 22;  // more takes the packer too long
constexpr uint64_t kSample = 1u << 19;      // what then stands for all of it

// Bytes, of those where five stand that stood before, for which repeats are worth a trial: one in so many.
constexpr size_t kFew = 128, kMany = 16;
// Where there are few, and more bytes than this, these are tried first.
constexpr uint64_t kFirst = 1u << 16;

// How many of the bytes stand where five stand that stood before?
size_t repeated_bytes(const uint8_t* data, size_t size) {
  constexpr int kBits = 14;
  constexpr size_t kRun = 5;
  Array<uint32_t> seen(1u << kBits);
  if (!seen.ok()) return 0;
  size_t found = 0;
  for (size_t i = 0; i + kRun <= size; ++i) {
    if (stopped_at(i)) return 0;
    const uint32_t word = load32(data + i),
                   h = (word + data[i + 4] * 0x85EBCA6Bu) * 0x9E3779B1u >> (32 - kBits);
    const uint32_t before = seen[h];
    found += before != 0 && load32(data + before - 1) == word && data[before + 3] == data[i + 4] ? 1 : 0;
    seen[h] = static_cast<uint32_t>(i + 1);
  }
  return found;
}

// What the plan holds of the extent beside its section, about: the plan is packed, too, and in
// large tables, such as those of channel codebooks, most bytes are zeros.
uint64_t plan_bytes(const Plan& plan, const Extent& e) {
  Bytes fields;
  BasePlaces places;
  find_method(e.method)->write_fields(plan, e, &places, &fields);
  constexpr size_t kLarge = 1024;
  if (fields.size() < kLarge) return fields.size();
  uint32_t counts[256] = {};
  for (size_t i = 0; i < fields.size(); ++i) ++counts[fields.data()[i]];
  return entropy_bits(counts, 256) / 8;
}

uint64_t cost(const Plan& plan, const Extent& e, const uint8_t* file) {
  const uint64_t bytes = extent_cost(plan, e, file);
  return bytes == UINT64_MAX ? bytes : bytes + plan_bytes(plan, e);
}

Extent as_bytes(const Extent& e, Method method, uint64_t size) {
  Extent other;
  other.offset = other.place = e.offset;
  other.size = size;
  other.crc = e.crc;
  other.method = method;
  other.stride = method == kMethodBytes ? e.element : 1;
  return other;
}

// Of weights, repeats that come by chance are in all parts, and a small one shows that they are of no use;
// in what compilers for accelerators make, tables of the channels stand between weights, in all parts, too.
bool first_bytes_tell(const Plan& plan, const uint8_t* file, const Extent& e) {
  Extent first = e;
  first.size = kFirst;
  const uint64_t plain = cost(plan, first, file), repeats = cost(plan, as_bytes(e, kMethodLz, kFirst), file);
  return plain == UINT64_MAX || repeats < plain + plain / 64;
}

}  // namespace

void try_bytes(const Plan& plan, const uint8_t* file, const kc_tensor& tensor, int32_t codec, bool modelled,
               uint64_t* left, Extent* e) {
  if (has_trait(e->method, kInline) || e->size < kShortest) return;
  // Larger ones are judged by their first bytes, where they are coded byte by byte.
  const bool large = e->size > kMaxOfBytes;
  const bool by_byte = e->method == kMethodBytes ||
                       (e->method == kMethodHuffman && e->identity && e->element == 1 && e->in_byte == 1);
  if (large && !by_byte) return;
  Extent judged = *e;
  if (large) judged.size = kSample;
  const size_t repeated = repeated_bytes(file + e->offset, static_cast<size_t>(judged.size));
  if (repeated * kFew <= judged.size) return;
  if (repeated * kMany <= judged.size && judged.size > kFirst && !first_bytes_tell(plan, file, *e)) return;
  uint64_t least = cost(plan, judged, file);
  const uint64_t allowed = (modelled ? tensor_time(tensor) : 0) + *left;
  uint64_t time = modelled ? tensor_time(tensor) : 0, needed = time;
  Extent best = *e;
  const auto try_out = [&](Method method, uint64_t bytes_time) {
    const Extent other = as_bytes(*e, method, judged.size);
    const uint64_t taken = cost(plan, other, file);
    if (method == kMethodLz && taken != UINT64_MAX)
      bytes_time = lz_time(judged.size, taken) * (e->size / judged.size);
    if (codec == KC_CODEC_AUTO && bytes_time > allowed) return false;
    if (taken < least) least = taken, best = other, needed = bytes_time;
    return true;
  };
  // Repeats with Huffman codes are for where there is no time for adaptive ones.
  if (codec == KC_CODEC_FAST || !try_out(kMethodLz, 0)) try_out(kMethodRepeats, 0);
  const uint64_t slow = e->size * kByteModelTime;
  if (codec == KC_CODEC_SMALLEST || (codec == KC_CODEC_AUTO && slow <= allowed)) try_out(kMethodBytes, slow);
  best.size = e->size;
  *e = best;
  if (codec == KC_CODEC_AUTO && needed > time) *left -= needed - time < *left ? needed - time : *left;
}

}  // namespace kc
