#include "bundle.h"

namespace kc {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50, kLocator64Signature = 0x07064b50;
constexpr uint32_t kEntrySignature = 0x02014b50, kLocalSignature = 0x04034b50;
constexpr uint64_t kEndSize = 22, kEntrySize = 46, kLocalSize = 30, kLocator64Size = 20, kEnd64Size = 56;
constexpr uint64_t kLongestComment = 65535;
constexpr uint32_t kInExtra = 0xFFFFFFFFu;  // the number stands in the extra field

uint64_t load64(const uint8_t* p) { return load32(p) | static_cast<uint64_t>(load32(p + 4)) << 32; }

// One entry of a zip's directory, if it is stored as it is.
struct Entry {
  bool stored = false;
  uint64_t size = 0, local = 0;
  uint64_t length = 0;  // of the directory's entry
};

bool read_entry(const uint8_t* at, uint64_t left, Entry* entry) {
  if (left < kEntrySize || load32(at) != kEntrySignature) return false;
  const uint32_t name = load16(at + 28), extra = load16(at + 30), comment = load16(at + 32);
  entry->length = kEntrySize + name + extra + comment;
  if (left < entry->length) return false;
  uint64_t packed = load32(at + 20);
  entry->size = load32(at + 24);
  entry->local = load32(at + 42);
  Reader in(at + kEntrySize + name, extra);
  uint64_t* const wide[3] = {&entry->size, &packed, &entry->local};
  while (in.left() >= 4) {
    const uint8_t* head = in.take(4);
    const uint8_t* field = in.take(load16(head + 2));
    if (field == nullptr) return false;
    if (load16(head) != 1) continue;
    Reader numbers(field, load16(head + 2));
    for (uint64_t* number : wide) {
      if (*number != kInExtra) continue;
      const uint8_t* eight = numbers.take(8);
      if (eight == nullptr) return false;
      *number = load64(eight);
    }
  }
  const bool encrypted = (load16(at + 8) & 1) != 0;
  entry->stored = load16(at + 10) == 0 && packed == entry->size && !encrypted;
  return true;
}

void order(List<kc_part>* parts) {  // insertion: directories mostly are in the order of their entries
  for (size_t i = 1; i < parts->size(); ++i) {
    const kc_part part = (*parts)[i];
    size_t k = i;
    for (; k > 0 && (*parts)[k - 1].offset > part.offset; --k) (*parts)[k] = (*parts)[k - 1];
    (*parts)[k] = part;
  }
}

}  // namespace

bool BundleWalker::walk(const uint8_t* data, size_t size) {
  data_ = data;
  tensors_.clear();
  rules_.clear();
  parts_.clear();
  unlisted_ = {};
  if (add_model(0, size)) return true;
  return walk_bundle(0, size, 0, 0) && parts_.size() != 0;
}

bool BundleWalker::add_model(uint64_t first, uint64_t size) {
  ModelWalker model;
  if (!model.walk(data_ + first, static_cast<size_t>(size))) return false;
  for (size_t i = 0; i < model.tensors().size(); ++i) {
    kc_tensor tensor = model.tensors()[i];
    tensor.offset += first;
    if (tensor.name_offset != 0) tensor.name_offset += first;
    if (!tensors_.push(tensor)) return false;
  }
  for (size_t i = 0; i < model.rules().size(); ++i) {
    ScaleRule rule = model.rules()[i];
    rule.target += static_cast<size_t>(first);
    rule.weights += static_cast<size_t>(first);
    rule.input += static_cast<size_t>(first);
    if (!rules_.push(rule)) return false;
  }
  unlisted_.sparse += model.unlisted().sparse;
  unlisted_.overlapping += model.unlisted().overlapping;
  unlisted_.elsewhere += model.unlisted().elsewhere;
  unlisted_.options += model.unlisted().options;
  return true;
}

bool BundleWalker::walk_bundle(uint64_t first, uint64_t size, uint32_t parent, int depth) {
  List<kc_part> found;
  if (!find_in_litertlm(data_ + first, size, &found) && !read_zip(data_ + first, size, &found)) return false;
  order(&found);
  uint64_t free = 0;
  for (size_t i = 0; i < found.size() && parts_.size() < kMaxParts; ++i) {
    kc_part part = found[i];
    if (part.offset < free || part.size > size - part.offset) continue;  // what overlaps is left alone
    part.offset += first;
    part.name_offset += first;
    part.parent = parent;
    const size_t number = parts_.size();
    if (!parts_.push(part)) return false;
    if (!add_model(part.offset, part.size) &&
        (depth == kMaxDepth ||
         !walk_bundle(part.offset, part.size, static_cast<uint32_t>(number + 1), depth + 1) ||
         parts_.size() == number + 1)) {
      parts_.pop();  // it holds no model
      continue;
    }
    free = found[i].offset + part.size;
  }
  return true;
}

bool BundleWalker::read_zip(const uint8_t* data, uint64_t size, List<kc_part>* found) {
  if (size < kEndSize) return false;
  const uint64_t furthest = size - kEndSize < kLongestComment ? 0 : size - kEndSize - kLongestComment;
  uint64_t end = size - kEndSize;
  while (load32(data + end) != kEndSignature || load16(data + end + 20) != size - kEndSize - end) {
    if (end == furthest) return false;
    --end;
  }
  uint64_t count = load16(data + end + 10), length = load32(data + end + 12), start = load32(data + end + 16);
  uint64_t directory_end = end;
  if ((count == 0xFFFF || length == kInExtra || start == kInExtra) && end >= kLocator64Size &&
      load32(data + end - kLocator64Size) == kLocator64Signature) {
    const uint64_t at = load64(data + end - kLocator64Size + 8);
    if (at > size || size - at < kEnd64Size || load32(data + at) != kEnd64Signature) return false;
    count = load64(data + at + 32);
    length = load64(data + at + 40);
    start = load64(data + at + 48);
    directory_end = at;
  }
  if (length > directory_end || start > directory_end - length) return false;
  for (uint64_t at = start; count > 0 && at < start + length; --count) {
    Entry entry;
    if (!read_entry(data + at, start + length - at, &entry)) return false;
    const uint64_t local = entry.local, name = at + kEntrySize;
    const uint32_t name_size = load16(data + at + 28);
    at += entry.length;
    if (!entry.stored || entry.size == 0 || local > size || size - local < kLocalSize ||
        load32(data + local) != kLocalSignature) {
      continue;
    }
    const uint64_t head = kLocalSize + load16(data + local + 26) + load16(data + local + 28);
    if (head > size - local || entry.size > size - local - head) continue;
    if (found->size() == kMaxParts) return true;
    if (!found->push({local + head, entry.size, name, name_size, 0})) return false;
  }
  return true;
}

}  // namespace kc
