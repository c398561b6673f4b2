#include "symbol_choice.h"

#include "channel_book.h"
#include "entropy.h"
#include "stop.h"

namespace kc {
namespace {

size_t max_frequent(const uint32_t* counts, size_t kinds) {
  size_t best = 0;
  for (size_t i = 1; i < kinds; ++i) best = counts[i] > counts[best] ? i : best;
  return best;
}

size_t median(const uint32_t* counts, size_t kinds, uint64_t total) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kinds; ++i) {
    sum += counts[i];
    if (sum * 2 >= total) return i;
  }
  return 0;
}

}  // namespace

void shape_of(const kc_tensor& tensor, uint64_t count, Extent* e) {
  uint64_t row = 1, last = 1, all = 1;
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    int64_t d = tensor.shape[i];
    if (d <= 0 || all > count) {
      all = 0;
      break;
    }
    last = static_cast<uint64_t>(d);
    all *= last;
    if (i > 0) row *= last;
  }
  if (all != count || tensor.rank == 0) {
    row = last = count;
  } else if (tensor.rank == 1 || tensor.shape[0] == 1) {
    row = last;  // depthwise: what lies in a row are channels
  }
  e->row = row;
  e->last = last == row ? 0 : last;
}

void choose_centre(const uint32_t* counts, size_t kinds, uint64_t total, size_t zero, Extent* e) {
  size_t mode = max_frequent(counts, kinds);
  size_t centre = zero < kinds ? zero : median(counts, kinds, total);
  if (counts[mode] * 5ull >= total) centre = mode;
  e->centre = static_cast<uint8_t>(centre);
  e->centre_flag = counts[centre] * 6ull >= total;
}

void choose_bytes_as_symbols(const uint8_t* data, size_t count, bool is_signed, Extent* e) {
  uint32_t counts[256] = {};
  for (size_t i = 0; i < count && !stopped_at(i); ++i) ++counts[data[i] ^ (is_signed ? 128 : 0)];
  int low = 0, high = 255;
  while (low < 255 && counts[low] == 0) ++low;
  while (high > low && counts[high] == 0) --high;
  e->method = kMethodSymbols;
  e->element = 1;
  e->identity = true;
  e->flip = is_signed;
  choose_centre(counts, 256, count, is_signed && low <= 128 && high >= 128 ? 128 : 256, e);
  e->lowest = static_cast<uint8_t>(low);
  e->highest = static_cast<uint8_t>(high);
  e->symbols = 0;
}

bool choose_grid(const Distinct& distinct, int bytes, size_t count, Plan* plan, Extent* e) {
  uint32_t values[256];
  const size_t found = distinct.size();
  for (size_t i = 0; i < found; ++i) values[i] = distinct.value(i);
  const size_t largest = 4 * found + 16 < 256 ? 4 * found + 16 : 256;
  size_t entries = 0;
  if (!find_grid(values, found, bytes, largest, &e->step, &e->first_multiple, &entries)) return false;
  e->method = kMethodSymbols;
  e->element = static_cast<uint8_t>(bytes);
  e->grid = true;
  e->symbols = static_cast<uint16_t>(entries);
  e->codebook = plan->codebooks.size();
  append_grid(e->step, e->first_multiple, entries, bytes, &plan->codebooks);
  uint32_t counts[256] = {};
  size_t next = 0, zero = 256;
  for (size_t i = 0; i < entries; ++i) {  // both ascend
    const uint32_t value = load_element(plan->codebooks.data() + e->codebook + i * e->element, bytes);
    if (next < found && distinct.value(next) == value) counts[i] = distinct.counts()[next++];
    if (value == 0) zero = i;
  }
  choose_centre(counts, entries, count, zero, e);
  e->lowest = 0;
  e->highest = static_cast<uint8_t>(entries - 1);
  return next == found;
}

void choose_codebook(const Distinct& distinct, int bytes, size_t count, Plan* plan, Extent* e) {
  e->method = kMethodSymbols;
  e->element = static_cast<uint8_t>(bytes);
  e->symbols = static_cast<uint16_t>(distinct.size());
  e->codebook = plan->codebooks.size();
  size_t zero = 256;
  for (size_t i = 0; i < distinct.size(); ++i) {
    uint8_t value[4];
    store_element(value, distinct.value(i), bytes);
    plan->codebooks.append(value, static_cast<size_t>(bytes));
    if (distinct.value(i) == 0) zero = i;
  }
  choose_centre(distinct.counts(), distinct.size(), count, zero, e);
  e->lowest = 0;
  e->highest = static_cast<uint8_t>(distinct.size() - 1);
}

void choose_packed(const kc_tensor& tensor, const uint8_t* data, size_t size, Extent* e) {
  const bool is_signed = tensor.type != kUint4;
  e->in_byte = tensor.type == kInt2 ? 4 : 2;
  e->identity = true;
  e->flip = is_signed;
  e->size = size;
  const size_t count = static_cast<size_t>(e->count());
  shape_of(tensor, count, e);
  if (e->row == count && tensor.rank > 1) {
    for (size_t pad = 1; pad < e->in_byte && e->row == count; ++pad) shape_of(tensor, count - pad, e);
  }
  const int bits = 8 / e->in_byte;
  uint32_t counts[16] = {};
  for (size_t i = 0; i < size && !stopped_at(i); ++i) {
    for (int shift = 0; shift < 8; shift += bits) {
      ++counts[(data[i] >> shift & ((1 << bits) - 1)) ^ (is_signed ? 1 << (bits - 1) : 0)];
    }
  }
  int low = 0, high = (1 << bits) - 1;
  while (low < high && counts[low] == 0) ++low;
  while (high > low && counts[high] == 0) --high;
  const int zero = 1 << (bits - 1);
  e->method = kMethodSymbols;
  e->element = 1;
  choose_centre(counts, 16, count, is_signed && low <= zero && high >= zero ? static_cast<size_t>(zero) : 16,
                e);
  e->lowest = static_cast<uint8_t>(low);
  e->highest = static_cast<uint8_t>(high);
}

}  // namespace kc
