// From a file to its packed form.
#ifndef KC_PACK_H_
#define KC_PACK_H_

#include "container.h"
#include "plan.h"
#include "skeleton_coding.h"

namespace kc {

// What became of the file: filled in where it was modelled, and not stored as it is.
struct Packing {
  Plan plan;
  bool stored = false;
  size_t skeleton_size = 0;
  size_t skeleton_packed = 0;
  uint32_t sections = 0;
};

// Packing in steps: between `open` and `finish` several threads may `work`, each on sections of its
// own; `finish` does what was left. The data must stay until then.
class PackJob {
 public:
  PackJob() = default;
  PackJob(const PackJob&) = delete;
  PackJob& operator=(const PackJob&) = delete;
  ~PackJob();

  // With a base the result is a patch. False: no memory.
  bool open(const uint8_t* data, size_t size, int32_t codec, const uint8_t* base = nullptr,
            size_t base_size = 0);
  size_t size() const { return size_; }
  uint32_t sections() const { return static_cast<uint32_t>(parts_.size()); }
  // The bytes outside the extents, as they are coded.
  const Bytes& skeleton() const { return skeleton_; }
  void work(uint32_t section);
  bool worked(uint32_t section) const { return parts_[section].done; }
  // Frees what was coded.
  void drop();
  size_t payload_size(uint32_t s) const { return parts_[s].payload->size(); }
  int32_t finish(Bytes* out, kc_error* error);

  Packing packing;

 private:
  struct Part {
    Bytes* payload = nullptr;
    bool begun = false;
    bool done = false;
  };

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  GraphCoding graph_ = GraphCoding::kRepeats;
  Bytes skeleton_;
  List<BaseRange> ranges_;  // of a patch's base: its graph
  List<Part> parts_;
};

}  // namespace kc

#endif  // KC_PACK_H_
