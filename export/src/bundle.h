// Finds the models in a file: the file itself, or what stands whole in a bundle, such as a zip with
// stored entries (`.task`) or a `.litertlm`. Only the packer and `inspect` use it.
#ifndef KC_BUNDLE_H_
#define KC_BUNDLE_H_

#include "flatbuffer.h"

namespace kc {

class BundleWalker {
 public:
  // False if there is no whole model in `data`, or memory ran out. Nothing out of bounds is read,
  // whatever the bytes say.
  bool walk(const uint8_t* data, size_t size);

  // As of one model, with offsets in the file.
  const List<kc_tensor>& tensors() const { return tensors_; }
  const List<ScaleRule>& rules() const { return rules_; }
  const kc_unlisted& unlisted() const { return unlisted_; }
  // The models of a bundle by ascending offset, and bundles in it before what they hold; none of a
  // file that is a model itself.
  const List<kc_part>& parts() const { return parts_; }

 private:
  static constexpr int kMaxDepth = 3;  // bundles in bundles
  static constexpr size_t kMaxParts = 1u << 12;

  bool walk_bundle(uint64_t first, uint64_t size, uint32_t parent, int depth);
  static bool read_zip(const uint8_t* data, uint64_t size, List<kc_part>* found);
  bool add_model(uint64_t first, uint64_t size);

  const uint8_t* data_ = nullptr;
  List<kc_tensor> tensors_;
  List<ScaleRule> rules_;
  List<kc_part> parts_;
  kc_unlisted unlisted_ = {};
};

// The sections of a `.litertlm`, with names where they have one. False: it is none.
bool find_in_litertlm(const uint8_t* data, uint64_t size, List<kc_part>* found);

}  // namespace kc

#endif  // KC_BUNDLE_H_
