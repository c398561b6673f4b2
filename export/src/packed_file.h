// A packed file, opened: its parts are restored one by one, in any order, by as many threads.
#ifndef KC_PACKED_FILE_H_
#define KC_PACKED_FILE_H_

#include "container.h"
#include "plan.h"
#include "source.h"

namespace kc {

// Where restored bytes go: into memory that holds [first, first + size) of the original, to a
// caller's function, or nowhere.
struct Target {
  uint8_t* memory = nullptr;
  uint64_t first = 0;
  uint64_t size = 0;
  const kc_sink* sink = nullptr;

  bool holds(uint64_t offset, uint64_t count) const {
    return memory == nullptr || (offset < first + size && offset + count > first);
  }
  bool put(uint64_t offset, const uint8_t* data, size_t count) const;
};

class PackedFile {
 public:
  // Reads and checks the frame, the plan and the skeleton; nothing else is read from the source.
  // With `max_size` other than 0 no larger original is accepted.
  // A patch needs the file it was made for.
  int32_t open(const Source& source, uint64_t max_size, kc_error* error, const uint8_t* base = nullptr,
               size_t base_size = 0);
  // As open, for a container whose sections are in memory and checked.
  int32_t begin(kc_error* error);

  uint32_t data_sections() const { return stored() ? 0 : plan.sections; }
  bool stored() const { return container.form == kFormStored; }
  size_t skeleton_size() const {
    return stored() ? static_cast<size_t>(container.original_size) : skeleton_.size();
  }

  // Restores the extents of data section `number`, from 1, and their copies.
  int32_t put_section(uint32_t number, const Target& target, kc_error* error);
  // Restores everything that stands in no data section; with `summed` its checksums are taken, for
  // finish().
  int32_t put_outside(const Target& target, kc_error* error, bool summed = true);
  // Once all was restored: does it have the original's checksum?
  int32_t finish(kc_error* error);
  // All of the above.
  int32_t put_all(const Target& target, kc_error* error);
  // Restores [first, first + size) alone: what no section it needs holds is not decoded.
  int32_t put_range(const Target& target, kc_error* error);

  // Writes the bytes outside the extents, and those of a patch's base, to their places in `memory`,
  // which has room for all.
  void put_graph(uint8_t* memory) const;

  Container container;
  Plan plan;

 private:
  int32_t load(uint32_t section, Bytes* own, Span* payload, kc_error* error) const;
  int32_t put_fill(size_t number, const Target& target, kc_error* error, bool summed);
  int32_t put_stored(const Target& target, kc_error* error);
  int32_t put_extent(const Extent& extent, const uint8_t* data, const Target& target, kc_error* error) const;
  bool find_roots();

  Source source_;
  Bytes skeleton_;
  Array<uint32_t> roots_;      // extent -> the extent it is a copy of at last, or itself
  Array<uint32_t> next_copy_;  // extent -> the next copy of the same root, + 1
  Array<uint8_t> done_;        // section -> was it restored?
  List<uint32_t> gap_crcs_;
};

}  // namespace kc

#endif  // KC_PACKED_FILE_H_
