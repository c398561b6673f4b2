#include "channel_book.h"

#include "number_formats.h"
#include "stop.h"

namespace kc {
namespace {

constexpr size_t kMaxEntries = 256;
constexpr size_t kMaxChannels = 8192;  // the search takes up to a tenth of a millisecond for each

uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}

void write_planes(const double* values, size_t count, size_t bytes, Bytes* out) {
  for (size_t b = 8 - bytes; b < 8; ++b) {
    for (size_t i = 0; i < count; ++i) out->push(static_cast<uint8_t>(bits_of(values[i]) >> (8 * b)));
  }
}

double read_plane_value(const uint8_t* planes, size_t i, size_t count, size_t bytes) {
  uint64_t bits = 0;
  for (size_t b = 0; b < bytes; ++b) {
    bits |= static_cast<uint64_t>(planes[b * count + i]) << (8 * (8 - bytes + b));
  }
  return from_bits(bits);
}

// The distinct elements of each channel, ascending.
class ChannelValues {
 public:
  // False if a channel has too many, or all together are so many that nothing is shared.
  bool collect(const uint8_t* data, const ChannelOrder& order, int element) {
    const size_t channels = order.channels();
    // Bytes with more values than this in one channel have nothing to gain.
    const size_t max = element == 1 ? 64 : kMaxEntries;
    if (!first_.reset(channels + 1)) return false;
    size_t total = 0;
    Array<uint32_t> found(kMaxEntries);
    if (!found.ok()) return false;
    for (size_t c = 0; c < channels; ++c) {
      if (stopped()) return false;
      size_t n = 0;
      const size_t start = order.interleaved ? c : c * order.row;
      const size_t step = order.interleaved ? order.row : 1;
      const size_t end =
          order.interleaved || start + order.row > order.count ? order.count : start + order.row;
      for (size_t i = start; i < end; i += step) {
        uint32_t bits = 0;
        for (int b = 0; b < element; ++b) {
          bits |= static_cast<uint32_t>(data[i * static_cast<size_t>(element) + static_cast<size_t>(b)])
                  << (8 * b);
        }
        const uint32_t key = to_order(bits, element);
        size_t low = 0, high = n;
        while (low < high) {
          size_t middle = (low + high) / 2;
          if (found[middle] < key) low = middle + 1;
          else high = middle;
        }
        if (low < n && found[low] == key) continue;
        // Most tensors share nothing, and end here in their first channel.
        if (n == max || n * 3 > (end - start) / step * 2 + 32) return false;
        for (size_t k = n; k > low; --k) found[k] = found[k - 1];
        found[low] = key;
        ++n;
      }
      first_[c] = static_cast<uint32_t>(total);
      total += n;
      if (total * 3 > (c + 1) * (order.count / channels) * 2 + 64) return false;
      for (size_t k = 0; k < n; ++k) {
        if (!values_.push(to_double(from_order(found[k], element), element)) ||
            !bits_.push(from_order(found[k], element))) {
          return false;
        }
      }
    }
    first_[channels] = static_cast<uint32_t>(total);
    return true;
  }

  size_t count(size_t c) const { return first_[c + 1] - first_[c]; }
  double value(size_t c, size_t k) const { return values_[first_[c] + k]; }
  uint32_t bits(size_t c, size_t k) const { return bits_[first_[c] + k]; }
  double largest(size_t c) const {
    double low = value(c, 0), high = value(c, count(c) - 1);
    return size_of(low) > size_of(high) ? low : high;
  }

 private:
  Array<uint32_t> first_;
  List<double> values_;
  List<uint32_t> bits_;
};

struct Fit {
  double shared[kMaxEntries + 1];
  size_t entries = 0;
  double tolerance = 0;  // relative
  double slack = 0;      // absolute, in units of the element
  Array<double> scales;

  size_t nearest(double x) const {
    size_t low = 0, high = entries;
    while (low < high) {
      size_t middle = (low + high) / 2;
      if (shared[middle] < x) low = middle + 1;
      else high = middle;
    }
    if (low == entries) return entries - 1;
    return low > 0 && x - shared[low - 1] < shared[low] - x ? low - 1 : low;
  }

  bool matches(double value, double scale) const {
    double product = shared[nearest(value / scale)] * scale;
    return size_of(product - value) <= size_of(value) * tolerance + slack;
  }

  bool insert(double x) {
    if (entries == kMaxEntries) return false;
    size_t k = entries++;
    for (; k > 0 && shared[k - 1] > x; --k) shared[k] = shared[k - 1];
    shared[k] = x;
    return true;
  }
};

// The scale under which most of a channel's values are shared values.
double find_scale(const ChannelValues& values, size_t c, const Fit& fit, double likely) {
  const size_t n = values.count(c);
  double best_scale = 0;
  size_t best = 0;
  auto try_scale = [&](double scale) {
    if (scale == 0 || best == n) return;
    size_t hits = 0;
    // A few values spread over the channel tell most wrong scales.
    if (n > 8) {
      size_t probes = 0;
      for (size_t k = 0; k < 4; ++k) {
        probes += fit.matches(values.value(c, k * (n - 1) / 3), scale) ? 1 : 0;
      }
      if (probes < 3) return;
    }
    for (size_t k = 0; k < n; ++k) hits += fit.matches(values.value(c, k), scale) ? 1 : 0;
    if (hits > best) best = hits, best_scale = scale;
  };
  if (likely != 0) try_scale(likely);
  // Should the largest value be one that the others don't know, its neighbour may do.
  const double largest = values.largest(c);
  const size_t beside = largest == values.value(c, 0) ? 1 : n - 2;
  const double anchors[2] = {largest, n > 1 ? values.value(c, beside) : 0};
  for (double anchor : anchors) {
    if (anchor == 0) continue;
    for (size_t j = 0; j < fit.entries; ++j) {
      if (fit.shared[j] != 0) try_scale(anchor / fit.shared[j]);
    }
    if (best * 2 > n) break;
  }
  return best_scale;
}

bool find_shared(const ChannelValues& values, size_t channels, Fit* fit) {
  size_t first = 0;
  for (size_t c = 1; c < channels; ++c) first = values.count(c) > values.count(first) ? c : first;
  for (size_t k = 0; k < values.count(first); ++k) {
    if (!fit->insert(values.value(first, k))) return false;
  }
  if (!fit->scales.reset(channels)) return false;
  for (size_t c = 0; c < channels; ++c) {
    if (stopped()) return false;
    const double scale = c == first ? 1.0 : find_scale(values, c, *fit, 1.0);
    fit->scales[c] = scale == 0 ? 1.0 : scale;
    for (size_t k = 0; k < values.count(c); ++k) {
      double value = values.value(c, k);
      if (!fit->matches(value, fit->scales[c]) && !fit->insert(value / fit->scales[c])) return false;
    }
  }
  return true;
}

// Means over all channels are better known than any one channel's rounded products.
bool refine(const ChannelValues& values, size_t channels, Fit* fit) {
  for (int round = 0; round < 6; ++round) {
    double sums[kMaxEntries] = {}, weights[kMaxEntries] = {};
    for (size_t c = 0; c < channels; ++c) {
      double up = 0, down = 0;
      for (size_t k = 0; k < values.count(c); ++k) {
        double value = values.value(c, k), shared = fit->shared[fit->nearest(value / fit->scales[c])];
        // Relative errors are equal for floats, absolute ones for integers.
        double weight = fit->slack != 0 ? shared * shared : 1;
        if (shared != 0) up += value / shared * weight, down += weight;
      }
      if (down != 0 && up != 0) fit->scales[c] = up / down;
    }
    for (size_t c = 0; c < channels; ++c) {
      for (size_t k = 0; k < values.count(c); ++k) {
        double x = values.value(c, k) / fit->scales[c];
        size_t j = fit->nearest(x);
        double weight = fit->slack != 0 ? fit->scales[c] * fit->scales[c] : 1;
        sums[j] += x * weight, weights[j] += weight;
      }
    }
    for (size_t j = 0; j < fit->entries; ++j) {
      if (weights[j] != 0 && fit->shared[j] != 0) fit->shared[j] = sums[j] / weights[j];
    }
  }
  for (size_t j = 0; j < fit->entries; ++j) fit->shared[j] = shorten(fit->shared[j], kSharedBytes);
  for (size_t c = 0; c < channels; ++c) fit->scales[c] = shorten(fit->scales[c], kScaleBytes);
  for (size_t j = 1; j < fit->entries; ++j) {
    if (fit->shared[j] <= fit->shared[j - 1]) return false;
  }
  return true;
}

}  // namespace

uint32_t scaled_value(double shared, double scale, int element, int64_t step) {
  uint32_t key = to_order(predicted(shared, scale, element), element);
  key += static_cast<uint32_t>(static_cast<uint64_t>(step));
  if (element != 4) key &= (1u << (8 * element)) - 1;
  return from_order(key, element);
}

bool append_grid(uint32_t step, int64_t first, size_t entries, int element, Bytes* codebooks) {
  constexpr int64_t kMax = 1 << 16;
  if (first < -kMax || first > kMax || element == 1) return false;
  const double scale = to_double(step, element);
  for (size_t j = 0; j < entries; ++j) {
    const uint32_t value =
        scaled_value(static_cast<double>(first + static_cast<int64_t>(j)), scale, element, 0);
    for (int b = 0; b < element; ++b) codebooks->push(static_cast<uint8_t>(value >> (8 * b)));
  }
  return true;
}

bool find_grid(const uint32_t* values, size_t count, int element, size_t largest, uint32_t* step,
               int64_t* first, size_t* entries) {
  double smallest = 0;
  for (size_t i = 0; i < count; ++i) {
    const double size = size_of(to_double(values[i], element));
    if (size != 0 && size < 1e30 && (smallest == 0 || size < smallest)) smallest = size;
  }
  if (smallest == 0) return false;
  // The smallest value may be a multiple itself; its share is rounded, up or down.
  for (int part = 1; part <= 4; ++part) {
    const uint32_t near = round_float(smallest / part, element);
    for (int off = 0; off < (part == 1 ? 1 : 3); ++off) {
      const uint32_t candidate = near + static_cast<uint32_t>(off == 2 ? -1 : off);
      const double scale = to_double(candidate, element);
      if (!(scale > 0)) continue;
      int64_t low = 0, high = 0;
      bool good = true;
      for (size_t i = 0; i < count && good; ++i) {
        const double multiple = to_double(values[i], element) / scale;
        if (!(multiple > -70000.0 && multiple < 70000.0)) {
          good = false;
          break;
        }
        const int64_t k = static_cast<int64_t>(multiple < 0 ? multiple - 0.5 : multiple + 0.5);
        good = scaled_value(static_cast<double>(k), scale, element, 0) == values[i];
        low = i == 0 || k < low ? k : low;
        high = i == 0 || k > high ? k : high;
      }
      if (!good || static_cast<uint64_t>(high - low) >= largest) continue;
      *step = candidate;
      *first = low;
      *entries = static_cast<size_t>(high - low) + 1;
      return true;
    }
  }
  return false;
}

bool read_channel_books(Reader* in, size_t entries, size_t channels, int element, Bytes* codebooks) {
  if (channels == 0 || channels > in->left() || channels * kScaleBytes > in->left() ||
      channels * entries > in->left()) {
    return false;
  }
  const uint8_t* shared = in->take(kSharedBytes * entries);
  const uint8_t* scales = in->take(kScaleBytes * channels);
  if (shared == nullptr || scales == nullptr) return false;
  for (size_t c = 0; c < channels; ++c) {
    const double scale = read_plane_value(scales, c, channels, kScaleBytes);
    for (size_t j = 0; j < entries; ++j) {
      const uint64_t step = in->varint();
      const int64_t moved = static_cast<int64_t>(step >> 1) ^ -static_cast<int64_t>(step & 1);
      uint32_t value =
          scaled_value(read_plane_value(shared, j, entries, kSharedBytes), scale, element, moved);
      for (int b = 0; b < element; ++b) codebooks->push(static_cast<uint8_t>(value >> (8 * b)));
    }
  }
  return !in->bad();
}

bool cut_channel_books(const uint8_t* stored, size_t size, size_t entries, size_t channels, size_t first,
                       size_t count, Bytes* out) {
  Reader in(stored, size);
  const uint8_t* shared = in.take(kSharedBytes * entries);
  const uint8_t* scales = in.take(kScaleBytes * channels);
  if (shared == nullptr || scales == nullptr || first + count > channels) return false;
  out->append(shared, kSharedBytes * entries);
  for (size_t b = 0; b < kScaleBytes; ++b) out->append(scales + b * channels + first, count);
  for (size_t i = 0; i < first * entries; ++i) in.varint();
  const uint8_t* steps = in.here();
  const size_t from = in.position();
  for (size_t i = 0; i < count * entries; ++i) in.varint();
  out->append(steps, in.position() - from);
  return !in.bad() && !out->failed();
}

bool find_channel_books(const uint8_t* data, const ChannelOrder& order, int element, Bytes* stored,
                        size_t* entries) {
  const size_t channels = order.channels();
  ChannelValues values;
  Fit fit;
  if (channels < 2 || channels > kMaxChannels || !values.collect(data, order, element)) return false;
  fit.tolerance = element == 4 ? 1.0 / (1 << 21) : (element == 2 ? 1.0 / (1 << 10) : 0);
  fit.slack = element == 1 ? 0.75 : 0;
  bool good = find_shared(values, channels, &fit) && refine(values, channels, &fit);
  if (good) {
    *entries = fit.entries;
    write_planes(fit.shared, fit.entries, kSharedBytes, stored);
    write_planes(fit.scales.data(), channels, kScaleBytes, stored);
  }
  int64_t steps[kMaxEntries];
  bool used[kMaxEntries];
  for (size_t c = 0; good && c < channels; ++c) {
    memset(steps, 0, sizeof steps);
    memset(used, 0, sizeof used);
    for (size_t k = 0; k < values.count(c); ++k) {
      size_t j = fit.nearest(values.value(c, k) / fit.scales[c]);
      if (used[j]) good = false;  // two values, one shared value
      used[j] = true;
      uint32_t key = to_order(predicted(fit.shared[j], fit.scales[c], element), element);
      steps[j] = static_cast<int64_t>(to_order(values.bits(c, k), element)) - static_cast<int64_t>(key);
    }
    for (size_t j = 0; j < fit.entries; ++j) stored->varint(zigzag(steps[j]));
  }
  return good && !stored->failed();
}

}  // namespace kc
