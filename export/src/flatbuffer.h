// Finds the constant buffers of a `.tflite`. Only the packer and `inspect` use it: the plan in the
// packed file says everything that a reader needs.
#ifndef KC_FLATBUFFER_H_
#define KC_FLATBUFFER_H_

#include "bytes.h"
#include "keras_compress.h"

namespace kc {

// Three arrays of scales with `target[i] = input[0] * weights[i]`, as int8 converters write them
// for biases. Offsets are those of float32 values in the file.
struct ScaleRule {
  size_t target;
  size_t weights;
  size_t input;
  size_t count;
  bool weights_single;  // one scale for all channels
};

// Reads tables of a FlatBuffer that may be hostile: nothing out of bounds is touched.
class FlatBuffer {
 protected:
  struct Table {
    size_t at = 0;
    size_t vtable = 0;
    uint32_t vtable_size = 0;
  };
  struct Vector {
    size_t at = 0;  // of the first element
    size_t count = 0;
  };

  bool u16(size_t at, uint32_t* value) const;
  bool u32(size_t at, uint32_t* value) const;
  bool table(size_t at, Table* out) const;
  // Where field `index` lies, 0 if absent.
  size_t field(const Table& table, uint32_t index) const;
  bool follow(size_t at, size_t* target) const;
  bool child(const Table& parent, uint32_t index, Table* out) const;
  bool vector(const Table& parent, uint32_t index, size_t element, Vector* out) const;
  bool element(const Vector& vector, size_t index, Table* out) const;
  uint64_t number(const Table& table, uint32_t index, size_t bytes) const;

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

class ModelWalker : private FlatBuffer {
 public:
  // False if `data` isn't a `.tflite` or is cut short, be it in buffers or options that lie behind
  // the FlatBuffer, or memory ran out. Nothing out of bounds
  // is read, whatever the bytes say.
  bool walk(const uint8_t* data, size_t size);

  // By ascending offset, without overlaps.
  const List<kc_tensor>& tensors() const { return tensors_; }
  const List<ScaleRule>& rules() const { return rules_; }
  // What is in the model and not in that list.
  const kc_unlisted& unlisted() const { return unlisted_; }

 private:
  bool read_buffers(const Table& model);
  bool read_subgraphs(const Table& model);
  void read_tensor(const Table& tensor);
  bool read_rules(const Vector& tensors, const Table& subgraph);
  bool scales(const Vector& tensors, int32_t index, Vector* out) const;
  bool sort_tensors();

  size_t budget_ = 0;  // list elements that may still be looked at
  List<kc_tensor> tensors_;
  List<uint32_t> slots_;  // buffer index -> index in tensors_ + 1
  List<ScaleRule> rules_;
  kc_unlisted unlisted_ = {};
};

}  // namespace kc

#endif  // KC_FLATBUFFER_H_
