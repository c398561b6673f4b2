// The sections of a `.litertlm` file: 32 bytes of head, then a FlatBuffer that says where they are.
#include "bundle.h"

namespace kc {
namespace {

constexpr uint8_t kMagic[8] = {'L', 'I', 'T', 'E', 'R', 'T', 'L', 'M'};
constexpr uint64_t kHead = 32, kHeaderEnd = 24;
constexpr uint32_t kSectionMetadata = 1, kObjects = 0;
constexpr uint32_t kItems = 0, kBegin = 1, kEnd = 2;
constexpr uint32_t kKey = 0, kValueType = 1, kValue = 2, kText = 0;
constexpr uint64_t kStringValue = 9;  // in the union of values
constexpr size_t kMaxSections = 1u << 12, kMaxItems = 64;
constexpr char kNameKey[] = "model_type";

class Header : public FlatBuffer {
 public:
  bool read(const uint8_t* data, uint64_t size, List<kc_part>* found) {
    const uint64_t end = load32(data + kHeaderEnd) | static_cast<uint64_t>(load32(data + kHeaderEnd + 4))
                                                         << 32;
    if (end < kHead + 8 || end > size) return false;
    data_ = data + kHead;
    size_ = static_cast<size_t>(end - kHead);
    size_t root;
    Table metadata, sections;
    Vector objects;
    if (!follow(0, &root) || !table(root, &metadata) || !child(metadata, kSectionMetadata, &sections) ||
        !vector(sections, kObjects, 4, &objects) || objects.count > kMaxSections) {
      return false;
    }
    for (size_t i = 0; i < objects.count; ++i) {
      Table object;
      kc_part part = {};
      if (!element(objects, i, &object)) return false;
      const uint64_t begin = number(object, kBegin, 8), stop = number(object, kEnd, 8);
      if (begin < end || stop > size || stop <= begin) continue;
      part.offset = begin;
      part.size = stop - begin;
      find_name(object, &part);
      if (!found->push(part)) return false;
    }
    return true;
  }

 private:
  void find_name(const Table& object, kc_part* part) const {
    Vector items;
    if (!vector(object, kItems, 4, &items)) return;
    for (size_t i = 0; i < items.count && i < kMaxItems; ++i) {
      Table item, value;
      Vector key, text;
      if (!element(items, i, &item) || !vector(item, kKey, 1, &key) || key.count != sizeof kNameKey - 1 ||
          memcmp(data_ + key.at, kNameKey, key.count) != 0 || number(item, kValueType, 1) != kStringValue ||
          !child(item, kValue, &value) || !vector(value, kText, 1, &text)) {
        continue;
      }
      part->name_offset = kHead + text.at;
      part->name_size = static_cast<uint32_t>(text.count);
      return;
    }
  }
};

}  // namespace

bool find_in_litertlm(const uint8_t* data, uint64_t size, List<kc_part>* found) {
  if (size < kHead + 8 || memcmp(data, kMagic, sizeof kMagic) != 0) return false;
  Header header;
  return header.read(data, size, found);
}

}  // namespace kc
