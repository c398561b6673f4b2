#include "sections.h"

#include "arithmetic.h"
#include "byte_model.h"
#include "fast_coding.h"
#include "drift_model.h"
#include "integer_model.h"
#include "partner.h"
#include "light_coding.h"
#include "partner_model.h"
#include "section_parts.h"

namespace kc {
namespace {

uint32_t codebook_value(const Plan& plan, const Extent& e, size_t index) {
  return load_element(plan.codebooks.data() + e.codebook + index * e.element, e.element);
}

uint64_t section_bytes(const Plan& plan, uint32_t number) {
  uint64_t total = 0;
  each_extent(plan, number, [&](const Extent& e) { return total += e.size, true; });
  return total;
}

// Bits of the largest symbol or exponent of the section.
int section_bits(const Plan& plan, uint32_t number) {
  int most = 0;
  each_extent(plan, number, [&](const Extent& e) {
    const int bits = SymbolModel::magnitude_bits(
        e.method == kMethodFloats     ? FloatModel::depth_layout(float_layout(e))
        : e.method == kMethodIntegers ? IntegerParts::depth_layout(1, e.highest)
                                      : symbol_layout(e));
    most = bits > most ? bits : most;
    return true;
  });
  return most;
}

// The models run both ways: `memory` is the original, or where extents are restored.
template <typename Coder, typename Noise>
Decoded run_models(Plan& plan, uint32_t number, Coder* coder, Noise* noise,
                   uint8_t* memory) {
  const Extent* first = first_extent(plan, number);
  Decoded result = Decoded::kDone;
  auto stop = [&](Decoded why) { return result = why, false; };
  if (first->method == kMethodSymbols) {
    SymbolModel model;
    if (!model.init(section_bits(plan, number))) return Decoded::kMemory;
    each_extent(plan, number, [&](Extent& e) {
      const uint64_t before = 8ull * coder->bytes() + noise->bits();
      uint8_t* data = memory + (Coder::kDecodes ? e.place : e.offset);
      const size_t count = static_cast<size_t>(e.count());
      Array<uint8_t> found(Coder::kDecodes ? 0 : count);
      if (!found.ok()) return stop(Decoded::kMemory);
      // Decoded symbols stand at the end of the place that their elements will fill.
      uint8_t* symbols = Coder::kDecodes ? data + (e.size - count) : found.data();
      if (!Coder::kDecodes) symbols_of(plan, e, data, symbols);
      if (!model.run(coder, symbols, symbol_layout(e))) return stop(Decoded::kMemory);
      if (Coder::kDecodes && !restore_symbols(plan, e, symbols, count, data)) {
        return stop(Decoded::kMalformed);
      }
      e.coded_bits = 8ull * coder->bytes() + noise->bits() - before;
      return true;
    });
  } else if (first->method == kMethodPartner) {
    PartnerModel model;
    if (!model.init()) return Decoded::kMemory;
    each_extent(plan, number, [&](Extent& e) {
      const uint64_t before = 8ull * coder->bytes();
      uint8_t* data = memory + (Coder::kDecodes ? e.place : e.offset);
      const size_t count = static_cast<size_t>(e.count());
      const SymbolLayout l = symbol_layout(e);
      Array<uint8_t> partners(count), values(count);
      if (!partners.ok() || !values.ok() || !find_partners(plan, e, partners.data())) {
        return stop(Decoded::kMemory);
      }
      if (!Coder::kDecodes) {
        symbols_of(plan, e, data, values.data());
        to_differences(plan, e, values.data());
      }
      if (!model.run(coder, values.data(), partners.data(), count, l.row, l.last, partner_bits(e))) {
        return stop(Decoded::kMemory);
      }
      if (Coder::kDecodes) {
        from_differences(plan, e, values.data());
        if (!restore_symbols(plan, e, values.data(), count, data)) return stop(Decoded::kMalformed);
      }
      e.coded_bits = 8ull * coder->bytes() - before;
      return true;
    });
  } else if (first->method == kMethodDrift) {
    DriftModel model;
    if (!model.init()) return Decoded::kMemory;
    each_extent(plan, number, [&](Extent& e) {
      const uint64_t before = 8ull * coder->bytes() + noise->bits();
      const SymbolLayout l = symbol_layout(e);
      if (!model.run(coder, noise, memory + (Coder::kDecodes ? e.place : e.offset),
                     plan.base + e.base, l.count, l.row, l.last, e.element)) {
        return stop(Decoded::kMemory);
      }
      e.coded_bits = 8ull * coder->bytes() + noise->bits() - before;
      return true;
    });
  } else if (first->method == kMethodFloats) {
    FloatModel model;
    if (!model.init(section_bits(plan, number))) return Decoded::kMemory;
    each_extent(plan, number, [&](Extent& e) {
      const uint64_t before = 8ull * coder->bytes() + noise->bits();
      if (!float_layout_fits(e)) return stop(Decoded::kMalformed);
      if (!model.run(coder, noise, memory + (Coder::kDecodes ? e.place : e.offset), float_layout(e))) {
        return stop(Decoded::kMemory);
      }
      e.coded_bits = 8ull * coder->bytes() + noise->bits() - before;
      return true;
    });
  } else if (first->method == kMethodIntegers) {
    IntegerModel model;
    if (!model.init(section_bits(plan, number))) return Decoded::kMemory;
    each_extent(plan, number, [&](Extent& e) {
      const uint64_t before = 8ull * coder->bytes() + noise->bits();
      uint8_t* data = memory + (Coder::kDecodes ? e.place : e.offset);
      if (!model.run(coder, noise, data, static_cast<size_t>(e.count()), e.highest)) {
        return stop(Decoded::kMemory);
      }
      e.coded_bits = 8ull * coder->bytes() + noise->bits() - before;
      return true;
    });
  } else if (first->method == kMethodBeside) {
    BesideModel model;
    Bytes history;
    history.push(0);  // what no match begins at
    const size_t window = static_cast<size_t>(first->window_size);
    const uint64_t total = section_bytes(plan, number);
    if (!model.init(static_cast<size_t>(total), first->stride, 16, beside_match_bits(total + window))) {
      return Decoded::kMemory;
    }
    for (size_t i = 0; i < window; ++i) {
      if (stopped_at(i)) return Decoded::kMemory;
      model.remember(history);
      history.push(plan.base[first->window + i]);
    }
    model.end_base(history.size());
    each_extent(plan, number, [&](Extent& e) {
      const uint64_t before = 8ull * coder->bytes();
      uint8_t* data = memory + (Coder::kDecodes ? e.place : e.offset);
      const uint64_t anchor = e.base - first->window;
      model.put_anchor(anchor < window ? static_cast<size_t>(anchor) + 1 : 0);
      for (size_t i = 0; i < e.size; ++i) {
        if (stopped_at(i)) return stop(Decoded::kMemory);
        const int byte = model.code_byte(coder, Coder::kDecodes ? 0 : data[i], history, i);
        if (Coder::kDecodes) data[i] = static_cast<uint8_t>(byte);
        history.push(static_cast<uint8_t>(byte));
      }
      e.coded_bits = 8ull * coder->bytes() - before;
      return history.failed() ? stop(Decoded::kMemory) : true;
    });
  } else {
    ByteModel model;
    Bytes history;
    if (!model.init(static_cast<size_t>(section_bytes(plan, number)), first->stride)) {
      return Decoded::kMemory;
    }
    each_extent(plan, number, [&](Extent& e) {
      const uint64_t before = 8ull * coder->bytes() + noise->bits();
      uint8_t* data = memory + (Coder::kDecodes ? e.place : e.offset);
      for (size_t i = 0; i < e.size; ++i) {
        if (stopped_at(i)) return stop(Decoded::kMemory);
        int byte = model.code_byte(coder, Coder::kDecodes ? 0 : data[i], history, i);
        if (Coder::kDecodes) data[i] = static_cast<uint8_t>(byte);
        history.push(static_cast<uint8_t>(byte));
      }
      e.coded_bits = 8ull * coder->bytes() - before;
      return history.failed() ? stop(Decoded::kMemory) : true;
    });
  }
  return result;
}

bool is_modelled(uint8_t method) {
  return method == kMethodBytes || method == kMethodBeside || method == kMethodSymbols || method == kMethodFloats ||
         method == kMethodPartner || method == kMethodDrift || method == kMethodIntegers;
}

}  // namespace

namespace {

// The index of the codebook for `value`, the first of equal ones; 0 if it isn't there, which the
// packer's choice rules out.
int find_symbol(const Plan& plan, const Extent& e, size_t channel, uint32_t value) {
  const size_t first = channel * e.symbols;
  for (int i = 0; i < e.symbols; ++i) {
    if (codebook_value(plan, e, first + static_cast<size_t>(i)) == value) return i;
  }
  return 0;
}

}  // namespace

void symbols_of(const Plan& plan, const Extent& e, const uint8_t* data, uint8_t* symbols) {
  size_t count = static_cast<size_t>(e.count());
  if (e.identity) {
    for (size_t i = 0; i < count; ++i) symbols[i] = static_cast<uint8_t>(data[i] ^ (e.flip ? 128 : 0));
    return;
  }
  // A direct-mapped memory of the last finds: few values, many weights.
  struct Find {
    uint32_t value;
    uint32_t channel;  // + 1
    uint8_t symbol;
  };
  Find finds[1024];
  memset(finds, 0, sizeof finds);
  for (size_t i = 0; i < count && !stopped_at(i); ++i) {
    const uint32_t value = load_element(data + i * e.element, e.element);
    const uint32_t channel = static_cast<uint32_t>(e.channel(i));
    Find& find = finds[(value * 0x9E3779B1u ^ channel * 0x85EBCA6Bu) >> 22];
    if (find.channel != channel + 1 || find.value != value) {
      find.value = value;
      find.channel = channel + 1;
      find.symbol = static_cast<uint8_t>(find_symbol(plan, e, channel, value));
    }
    symbols[i] = find.symbol;
  }
}

bool restore_symbols(const Plan& plan, const Extent& e, const uint8_t* symbols, size_t count,
                     uint8_t* data) {
  if (e.identity) {
    for (size_t i = 0; i < count; ++i) data[i] = static_cast<uint8_t>(symbols[i] ^ (e.flip ? 128 : 0));
    return true;
  }
  uint8_t highest = 0;
  for (size_t i = 0; i < count; ++i) highest = symbols[i] > highest ? symbols[i] : highest;
  if (highest >= e.symbols) return false;
  const uint8_t* codebook = plan.codebooks.data() + e.codebook;
  if (e.channels != 0) {
    for (size_t i = 0; i < count; ++i) {
      const size_t entry = e.channel(i) * e.symbols + symbols[i];
      memcpy(data + i * e.element, codebook + entry * e.element, e.element);
    }
    return true;
  }
  switch (e.element) {
    case 1:
      for (size_t i = 0; i < count; ++i) data[i] = codebook[symbols[i]];
      return true;
    case 2:
      for (size_t i = 0; i < count; ++i) memcpy(data + 2 * i, codebook + 2 * symbols[i], 2);
      return true;
    default:
      for (size_t i = 0; i < count; ++i) memcpy(data + 4 * i, codebook + 4 * symbols[i], 4);
      return true;
  }
}

bool encode_section(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out) {
  const Extent* first = first_extent(*plan, number);
  if (first == nullptr) return true;
  if (is_light(first->method)) return encode_light(plan, number, original, out);
  if (!is_modelled(first->method)) {
    return each_extent(*plan, number, [&](Extent& e) {
      size_t before = out->size();
      if (e.method != kMethodRaw) {
        if (!encode_fast(*plan, e, original + e.offset, out)) return false;
      } else {
        out->append(original + e.offset, static_cast<size_t>(e.size));
      }
      e.coded_bits = 8ull * (out->size() - before);
      return !out->failed();
    });
  }
  Bytes coded, noise_bytes;
  ArithmeticEncoder coder(&coded);
  BitWriter noise(&noise_bytes);
  // Encoding leaves the original as it is: the models write only where they decode.
  Decoded result = run_models(*plan, number, &coder, &noise, const_cast<uint8_t*>(original));
  if (result != Decoded::kDone) return false;
  coder.finish();
  noise.finish();
  out->varint(coded.size());
  out->append(coded.data(), coded.size());
  out->append(noise_bytes.data(), noise_bytes.size());
  return !out->failed() && !coded.failed() && !noise_bytes.failed();
}

uint64_t extents_cost(const Plan& plan, const List<Extent>& extents, const uint8_t* original) {
  Plan alone;
  alone.base = plan.base;
  alone.base_size = plan.base_size;
  alone.codebooks.append(plan.codebooks.data(), plan.codebooks.size());
  alone.sections = 1;
  for (size_t i = 0; i < extents.size(); ++i) {
    Extent e = extents[i];
    e.section = 1;
    if (e.last == 0) e.last = e.row;
    if (!alone.extents.push(e)) return UINT64_MAX;
  }
  Bytes coded;
  if (alone.codebooks.failed() || !link_sections(&alone) || !encode_section(&alone, 1, original, &coded)) {
    return UINT64_MAX;
  }
  return coded.size();
}

uint64_t extent_cost(const Plan& plan, const Extent& extent, const uint8_t* original) {
  List<Extent> one;
  return one.push(extent) ? extents_cost(plan, one, original) : UINT64_MAX;
}

Decoded decode_section(Plan* plan, uint32_t number, const uint8_t* payload, size_t size,
                       uint8_t* memory) {
  const Extent* first = first_extent(*plan, number);
  if (is_light(first->method)) return decode_light(plan, number, payload, size, memory);
  Reader in(payload, size);
  if (!is_modelled(first->method)) {
    Decoded result = Decoded::kDone;
    each_extent(*plan, number, [&](Extent& e) {
      size_t before = in.position();
      if (e.method != kMethodRaw) {
        result = decode_fast(*plan, e, &in, memory + e.place);
      } else {
        const uint8_t* bytes = in.take(static_cast<size_t>(e.size));
        if (bytes == nullptr) return result = Decoded::kMalformed, false;
        memcpy(memory + e.place, bytes, static_cast<size_t>(e.size));
      }
      e.coded_bits = 8ull * (in.position() - before);
      return result == Decoded::kDone;
    });
    if (result == Decoded::kDone && in.left() != 0) return Decoded::kMalformed;
    return result;
  }
  uint64_t coded = in.varint();
  if (in.bad() || coded > in.left()) return Decoded::kMalformed;
  ArithmeticDecoder coder(in.here(), static_cast<size_t>(coded));
  in.take(static_cast<size_t>(coded));
  BitReader noise(in.here(), in.left());
  Decoded result = run_models(*plan, number, &coder, &noise, memory);
  if (result == Decoded::kDone && (coder.overrun() > 4 || !noise.exact())) {
    return Decoded::kMalformed;
  }
  return result;
}

}  // namespace kc
