#include "budget.h"

namespace kc {
namespace {

// In nanoseconds, on the machine of decode_costs.h.
constexpr uint64_t kBudget = 300000000;
// A graph gains most for its time: it may take all, and nothing is left for tensors then.
constexpr uint64_t kGraphBudget = kBudget;
constexpr uint64_t kPrimingTime = 7000000;
// What is left for slow models where fast ones take most of the budget, or more than it.
constexpr uint64_t kMinSlow = kBudget / 4;

uint64_t fast_time(const kc_tensor& tensor) { return tensor.size * fast_model_time(tensor.type); }

}  // namespace

uint64_t tensor_time(const kc_tensor& tensor) { return tensor.size * restoring_time(tensor.type); }

Modelled within_budget(const List<kc_tensor>& tensors, uint64_t file_size) {
  Modelled found;
  found.largest_tensor = UINT64_MAX;
  uint64_t total = 0, fast = 0, outside = file_size;
  for (size_t i = 0; i < tensors.size(); ++i) {
    total += tensor_time(tensors[i]);
    fast += fast_time(tensors[i]);
    outside -= tensors[i].size < outside ? tensors[i].size : outside;
  }
  const uint64_t graph = kPrimingTime + outside * kByteModelTime;
  if (graph <= kGraphBudget) {
    found.graph = GraphCoding::kModelled;
    total += graph;
  } else if (lz_time(outside, outside / 2) <= kGraphBudget) {
    found.graph = GraphCoding::kLz;
    total += lz_time(outside, outside / 2);
  }
  const uint64_t budget = fast + kMinSlow > kBudget ? fast + kMinSlow : kBudget;
  while (total > budget) {
    uint64_t largest = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].size <= found.largest_tensor && tensors[i].size > largest) largest = tensors[i].size;
    }
    if (largest == 0) break;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].size == largest) total -= tensor_time(tensors[i]) - fast_time(tensors[i]);
    }
    found.largest_tensor = largest - 1;
  }
  found.left = total < budget ? budget - total : 0;
  return found;
}

}  // namespace kc
