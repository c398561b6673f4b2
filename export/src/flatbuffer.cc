#include "flatbuffer.h"

namespace kc {
namespace {

// Field numbers of TFLite's schema.
constexpr uint32_t kModelSubgraphs = 2, kModelBuffers = 4;
constexpr uint32_t kBufferData = 0, kBufferOffset = 1, kBufferSize = 2;
constexpr uint32_t kSubgraphTensors = 0, kSubgraphOperators = 3;
constexpr uint32_t kTensorShape = 0, kTensorType = 1, kTensorBuffer = 2, kTensorName = 3;
constexpr uint32_t kTensorQuantization = 4, kQuantizationScale = 2;
constexpr uint32_t kTensorSparsity = 6, kTensorExternalBuffer = 10;
constexpr uint32_t kOperatorInputs = 1, kOperatorCustomOffset = 9, kOperatorCustomSize = 10;

// A model may hold many tables, but a file of a few bytes must not make us walk for hours by
// pointing all elements of a long vector at one table.
constexpr size_t kMaxElements = 1u << 20;

template <typename T, typename Before>
void sort(T* items, size_t count, Before before) {  // heap sort: in place, no recursion
  auto sink = [&](size_t root, size_t end) {
    for (;;) {
      size_t child = 2 * root + 1;
      if (child >= end) return;
      if (child + 1 < end && before(items[child], items[child + 1])) ++child;
      if (!before(items[root], items[child])) return;
      T swapped = items[root];
      items[root] = items[child];
      items[child] = swapped;
      root = child;
    }
  };
  for (size_t i = count / 2; i-- > 0;) sink(i, count);
  for (size_t end = count; end > 1; --end) {
    T swapped = items[0];
    items[0] = items[end - 1];
    items[end - 1] = swapped;
    sink(0, end - 1);
  }
}

}  // namespace

bool FlatBuffer::u16(size_t at, uint32_t* value) const {
  if (at > size_ || size_ - at < 2) return false;
  *value = load16(data_ + at);
  return true;
}

bool FlatBuffer::u32(size_t at, uint32_t* value) const {
  if (at > size_ || size_ - at < 4) return false;
  *value = load32(data_ + at);
  return true;
}

bool FlatBuffer::follow(size_t at, size_t* target) const {
  uint32_t offset;
  if (!u32(at, &offset) || offset > size_ - at) return false;
  *target = at + offset;
  return true;
}

bool FlatBuffer::table(size_t at, Table* out) const {
  uint32_t raw;
  if (!u32(at, &raw)) return false;
  int64_t vtable = static_cast<int64_t>(at) - static_cast<int32_t>(raw);
  if (vtable < 0 || vtable > static_cast<int64_t>(size_)) return false;
  uint32_t bytes;
  if (!u16(static_cast<size_t>(vtable), &bytes) || bytes < 4 || (bytes & 1) != 0) return false;
  if (size_ - static_cast<size_t>(vtable) < bytes) return false;
  out->at = at;
  out->vtable = static_cast<size_t>(vtable);
  out->vtable_size = bytes;
  return true;
}

size_t FlatBuffer::field(const Table& table, uint32_t index) const {
  uint32_t slot = 4 + 2 * index, offset;
  if (slot + 2 > table.vtable_size || !u16(table.vtable + slot, &offset) || offset == 0) return 0;
  if (offset > size_ - table.at) return 0;
  return table.at + offset;
}

bool FlatBuffer::child(const Table& parent, uint32_t index, Table* out) const {
  size_t at = field(parent, index), target;
  return at != 0 && follow(at, &target) && table(target, out);
}

bool FlatBuffer::vector(const Table& parent, uint32_t index, size_t element, Vector* out) const {
  out->count = 0;
  size_t at = field(parent, index), target;
  uint32_t count;
  if (at == 0 || !follow(at, &target) || !u32(target, &count)) return false;
  if ((size_ - target - 4) / element < count) return false;
  out->at = target + 4;
  out->count = count;
  return true;
}

bool FlatBuffer::element(const Vector& vector, size_t index, Table* out) const {
  size_t target;
  return follow(vector.at + 4 * index, &target) && table(target, out);
}

uint64_t FlatBuffer::number(const Table& table, uint32_t index, size_t bytes) const {
  size_t at = field(table, index);
  if (at == 0 || at > size_ || size_ - at < bytes) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(data_[at + i]) << (8 * i);
  return value;
}

bool ModelWalker::walk(const uint8_t* data, size_t size) {
  data_ = data;
  size_ = size;
  tensors_.clear();
  slots_.clear();
  rules_.clear();
  unlisted_ = {};
  Table model;
  size_t root;
  if (size < 16 || memcmp(data + 4, "TFL3", 4) != 0) return false;
  return follow(0, &root) && table(root, &model) && read_buffers(model) && read_subgraphs(model) &&
         sort_tensors();
}

bool ModelWalker::read_buffers(const Table& model) {
  Vector buffers;
  if (!vector(model, kModelBuffers, 4, &buffers) || buffers.count > kMaxElements) return false;
  for (size_t i = 0; i < buffers.count; ++i) {
    Table buffer;
    if (!element(buffers, i, &buffer)) return false;
    kc_tensor found;
    memset(&found, 0, sizeof found);
    found.buffer = static_cast<uint32_t>(i);
    found.type = -1;
    Vector bytes;
    uint64_t offset = number(buffer, kBufferOffset, 8), length = number(buffer, kBufferSize, 8);
    if (vector(buffer, kBufferData, 1, &bytes) && bytes.count != 0) {
      found.offset = bytes.at;
      found.size = bytes.count;
    } else if (offset > 1 && length != 0) {
      if (offset > size_ || length > size_ - offset) return false;
      found.offset = offset;  // the data lies behind the FlatBuffer
      found.size = length;
    }
    uint32_t slot = 0;
    if (found.size != 0) {
      if (!tensors_.push(found)) return false;
      slot = static_cast<uint32_t>(tensors_.size());
    }
    if (!slots_.push(slot)) return false;
  }
  return true;
}

bool ModelWalker::read_subgraphs(const Table& model) {
  Vector subgraphs;
  if (!vector(model, kModelSubgraphs, 4, &subgraphs)) return false;
  budget_ = kMaxElements;
  for (size_t i = 0; i < subgraphs.count; ++i) {
    if (budget_-- == 0) return false;
    Table subgraph;
    Vector tensors;
    if (!element(subgraphs, i, &subgraph)) return false;
    if (!vector(subgraph, kSubgraphTensors, 4, &tensors)) continue;
    if (tensors.count >= budget_) return false;
    budget_ -= tensors.count;
    for (size_t k = 0; k < tensors.count; ++k) {
      Table tensor;
      if (!element(tensors, k, &tensor)) return false;
      read_tensor(tensor);
    }
    if (!read_rules(tensors, subgraph)) return false;
  }
  return true;
}

void ModelWalker::read_tensor(const Table& tensor) {
  uint64_t buffer = number(tensor, kTensorBuffer, 4);
  if (number(tensor, kTensorExternalBuffer, 4) != 0) ++unlisted_.elsewhere;
  if (buffer >= slots_.size() || slots_[buffer] == 0) return;
  kc_tensor& found = tensors_[slots_[buffer] - 1];
  if (field(tensor, kTensorSparsity) != 0) ++unlisted_.sparse;
  if (found.users++ != 0) return;
  found.type = static_cast<int8_t>(number(tensor, kTensorType, 1));
  Vector shape;
  if (vector(tensor, kTensorShape, 4, &shape) && shape.count <= 8) {
    found.rank = static_cast<uint32_t>(shape.count);
    for (size_t i = 0; i < shape.count; ++i) {
      found.shape[i] = static_cast<int32_t>(load32(data_ + shape.at + 4 * i));
    }
  }
  Vector name;
  if (vector(tensor, kTensorName, 1, &name)) {
    found.name_offset = name.at;
    found.name_size = static_cast<uint32_t>(name.count);
  }
}

bool ModelWalker::scales(const Vector& tensors, int32_t index, Vector* out) const {
  Table tensor, quantization;
  if (index < 0 || static_cast<size_t>(index) >= tensors.count) return false;
  return element(tensors, static_cast<size_t>(index), &tensor) &&
         child(tensor, kTensorQuantization, &quantization) &&
         vector(quantization, kQuantizationScale, 4, out) && out->count != 0;
}

bool ModelWalker::read_rules(const Vector& tensors, const Table& subgraph) {
  Vector operators;
  if (!vector(subgraph, kSubgraphOperators, 4, &operators)) return true;
  if (operators.count >= budget_) return false;
  budget_ -= operators.count;
  for (size_t i = 0; i < operators.count; ++i) {
    Table op;
    Vector inputs, input, weights, bias;
    if (!element(operators, i, &op)) continue;
    const uint64_t options = number(op, kOperatorCustomSize, 8);
    if (options != 0) {
      const uint64_t offset = number(op, kOperatorCustomOffset, 8);
      if (offset > size_ || options > size_ - offset) return false;
      ++unlisted_.options;
    }
    if (!vector(op, kOperatorInputs, 4, &inputs)) continue;
    if (inputs.count < 3 || inputs.count > 4) continue;
    int32_t ids[3];
    for (int k = 0; k < 3; ++k) {
      ids[k] = static_cast<int32_t>(load32(data_ + inputs.at + 4 * static_cast<size_t>(k)));
    }
    if (!scales(tensors, ids[0], &input) || !scales(tensors, ids[1], &weights) ||
        !scales(tensors, ids[2], &bias)) {
      continue;
    }
    if (input.count != 1 || (weights.count != bias.count && weights.count != 1)) continue;
    bool single = weights.count == 1;
    if (!rules_.push({bias.at, weights.at, input.at, bias.count, single})) return false;
  }
  return true;
}

bool ModelWalker::sort_tensors() {
  sort(tensors_.data(), tensors_.size(), [](const kc_tensor& a, const kc_tensor& b) {
    if (a.offset != b.offset) return a.offset < b.offset;
    return a.size != b.size ? a.size > b.size : a.buffer < b.buffer;
  });
  List<kc_tensor> apart;
  uint64_t end = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].offset < end) {
      kc_tensor& before = apart[apart.size() - 1];
      if (tensors_[i].offset != before.offset || tensors_[i].size != before.size) {
        ++unlisted_.overlapping;
        continue;
      }
      // One place under two numbers: one buffer with the users of both.
      const uint32_t users = before.users + tensors_[i].users;
      if (before.users == 0) before = tensors_[i];
      before.users = users;
      continue;
    }
    if (!apart.push(tensors_[i])) return false;
    end = tensors_[i].offset + tensors_[i].size;
  }
  tensors_.clear();
  for (size_t i = 0; i < apart.size(); ++i) tensors_.push(apart[i]);
  sort(rules_.data(), rules_.size(),
       [](const ScaleRule& a, const ScaleRule& b) { return a.target < b.target; });
  size_t kept = 0;
  size_t free_from = 0;
  for (size_t i = 0; i < rules_.size(); ++i) {
    if (rules_[i].target < free_from) continue;
    rules_[kept++] = rules_[i];
    free_from = rules_[i].target + 4 * rules_[i].count;
  }
  while (rules_.size() > kept) rules_.pop();
  return true;
}

}  // namespace kc
