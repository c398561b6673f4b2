// The table of methods: all that is asked of one, in one place.
#ifndef KC_METHODS_H_
#define KC_METHODS_H_

#include "plan.h"

namespace kc {

// What holds for the extents of a method; several may.
enum Trait : uint16_t {
  kInline = 1,      // its bytes stand in no data section
  kPatchOnly = 2,   // it says where in the base something stands
  kTakesBase = 4,   // so, as many bytes as it has
  kInRows = 8,      // `row` and `last` must fit
  kFloatBits = 16,  // the fields of floats
  kOfBytes = 32,    // by a model of bytes, of a bounded size
  kLearns = 64,     // by a model that is worth keeping over many elements
  kFast = 128,      // by fast models
  kFarBack = 256,   // what is alike may be far apart
};

// Where the extents that name a place in the base are expected: where the bytes would stand if
// nothing had moved since the extent before that names one.
class BasePlaces {
 public:
  void write(const Extent& e, Bytes* out) {
    out->varint(zigzag(static_cast<int64_t>(e.base - e.offset - shift_)));
    shift_ = e.base - e.offset;
  }
  // `e->offset` is known by now.
  void read(Reader* in, Extent* e) {
    shift_ += static_cast<uint64_t>(unzigzag(in->varint()));
    e->base = e->offset + shift_;
  }

 private:
  uint64_t shift_ = 0;
};

struct MethodInfo {
  uint8_t number;
  const char* name;
  uint16_t traits;
  // Fields in the plan, behind the method's number; reading checks all that needs no other extent.
  void (*write_fields)(const Plan& plan, const Extent& e, BasePlaces* places, Bytes* out);
  bool (*read_fields)(Reader* in, Plan* plan, BasePlaces* places, Extent* e);
  // The payload of data section `number`, from or to the whole original or the extents' places.
  // Encoding is false without memory; null for `kInline`, and in a library that only reads.
  bool (*encode)(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out);
  Decoded (*decode)(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory);

  bool has(uint16_t trait) const { return (traits & trait) != 0; }
};

// Null: none has this number.
const MethodInfo* find_method(uint8_t method);

// Of a method that there is.
bool has_trait(uint8_t method, uint16_t trait);
inline bool needs_section(uint8_t method) { return !has_trait(method, kInline); }

}  // namespace kc

#endif  // KC_METHODS_H_
