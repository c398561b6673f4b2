// What a patch takes from its base: equal runs, references of tensors, and what is coded beside it.
#ifndef KC_PATCHING_H_
#define KC_PATCHING_H_

#include "base_matches.h"
#include "bundle.h"
#include "plan.h"
#include "skeleton.h"

namespace kc {

class Patcher {
 public:
  // False: no memory.
  bool init(const uint8_t* base, size_t base_size);

  // Puts into `out` what takes least of the extent `e` of a tensor, number `index` of its file; with
  // `use` false the tensor would stay with the graph. Equal bytes around it are taken as well, down to
  // `free` and up to `next`. False: no memory.
  bool place(const uint8_t* data, const kc_tensor& tensor, size_t index, bool use, size_t free, size_t next,
             const Extent& e, const Plan& plan, List<Extent>* out) const;

  // Long equal runs in bytes of no tensor.
  bool place_outside(const uint8_t* data, size_t from, size_t to, List<Extent>* out) const;

  // The base's bytes outside of its tensors, if it is a model.
  bool graph_ranges(List<BaseRange>* ranges) const;

 private:
  bool take_whole(const uint8_t* data, size_t free, size_t next, uint64_t base, Extent* e) const;
  bool split(const uint8_t* data, const Extent& whole, bool typed, const List<BaseMatch>& matches,
             const Plan& plan, List<Extent>* out, uint64_t* cost) const;
  Extent beside(const Extent& e, uint64_t base) const;

  const uint8_t* base_ = nullptr;
  size_t base_size_ = 0;
  bool walked_ = false;
  BundleWalker walker_;
  BaseMatches matches_;
};

}  // namespace kc

#endif  // KC_PATCHING_H_
