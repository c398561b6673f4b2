#include "modelled_coding.h"

#include "arithmetic.h"
#include "block_side.h"
#include "byte_model.h"
#include "integer_model.h"
#include "reference_float_model.h"
#include "reference_model.h"
#include "reference_tensor.h"
#include "section_parts.h"
#include "symbols.h"

namespace kc {

// Each `Run` has `init` for a section, and `run` for one extent of it, whose bytes are read from or
// written to `data`.

namespace {

// Bits of the largest symbol of the section.
template <typename LayoutOf>
int section_bits(const Plan& plan, uint32_t number, LayoutOf layout_of) {
  int max = 0;
  each_extent(plan, number, [&](const Extent& e) {
    const int bits = SymbolModel::magnitude_bits(layout_of(e));
    max = bits > max ? bits : max;
    return true;
  });
  return max;
}

uint64_t section_bytes(const Plan& plan, uint32_t number) {
  uint64_t total = 0;
  each_extent(plan, number, [&](const Extent& e) { return total += e.size, true; });
  return total;
}

bool has_blocks(const Plan& plan, uint32_t number) {
  return !each_extent(plan, number, [](const Extent& e) { return !e.has_blocks(); });
}

Decoded done(bool memory) { return memory ? Decoded::kDone : Decoded::kMemory; }

}  // namespace

struct FloatRun {
  bool init(const Plan& plan, uint32_t number) {
    return model.init(section_bits(
        plan, number, [](const Extent& e) { return FloatModel::depth_layout(float_layout(e)); }));
  }

  template <typename Coder, typename Noise>
  Decoded run(const Plan&, const Extent& e, Coder* coder, Noise* noise, uint8_t* data) {
    if (!float_layout_fits(e)) return Decoded::kMalformed;
    return done(model.run(coder, noise, data, float_layout(e)));
  }

  FloatModel model;
};

struct SymbolRun {
  bool init(const Plan& plan, uint32_t number) {
    constexpr int kExponentBits = 8;
    return model.init(section_bits(plan, number, symbol_layout)) &&
           (!has_blocks(plan, number) || floats.model.init(kExponentBits));
  }

  template <typename Coder, typename Noise>
  Decoded run(const Plan& plan, const Extent& e, Coder* coder, Noise* noise, uint8_t* data) {
    SymbolRoom room;
    BlockSide side;
    if (!room.init(e, Coder::kDecodes, data)) return Decoded::kMemory;
    uint8_t* symbols = room.at();
    if (!Coder::kDecodes) symbols_of(plan, e, data, symbols);
    if (e.has_blocks()) {
      if (!side.init(plan, e, Coder::kDecodes)) return Decoded::kMemory;
      const Decoded coded = side.each([&](const Extent& of_side, uint8_t* values) {
        return floats.run(plan, of_side, coder, noise, values);
      });
      if (coded != Decoded::kDone) return coded;
    }
    if (!model.run(coder, symbols, symbol_layout(e))) return Decoded::kMemory;
    if (e.has_blocks() && !side.code_signs<Coder::kDecodes>(e, noise, symbols, data)) return Decoded::kMemory;
    if (!Coder::kDecodes) return Decoded::kDone;
    const bool fits = e.has_blocks()
                          ? side.restore(e, symbols, data)
                          : restore_symbols(plan, e, symbols, static_cast<size_t>(e.count()), data);
    return fits ? Decoded::kDone : Decoded::kMalformed;
  }

  SymbolModel model;
  FloatRun floats;  // of scales and offsets
};

struct IntegerRun {
  bool init(const Plan& plan, uint32_t number) {
    return model.init(
        section_bits(plan, number, [](const Extent& e) { return IntegerParts::depth_layout(1, e.highest); }));
  }

  template <typename Coder, typename Noise>
  Decoded run(const Plan&, const Extent& e, Coder* coder, Noise* noise, uint8_t* data) {
    return done(model.run(coder, noise, data, static_cast<size_t>(e.count()), e.highest));
  }

  IntegerModel model;
};

struct ByteRun {
  bool init(const Plan& plan, uint32_t number) {
    return model.init(static_cast<size_t>(section_bytes(plan, number)), first_extent(plan, number)->stride);
  }

  template <typename Coder, typename Noise>
  Decoded run(const Plan&, const Extent& e, Coder* coder, Noise*, uint8_t* data) {
    return done(code_bytes(&model, &history, e, coder, data));
  }

  template <typename Model, typename Coder>
  static bool code_bytes(Model* model, Bytes* history, const Extent& e, Coder* coder, uint8_t* data) {
    for (size_t i = 0; i < e.size; ++i) {
      if (stopped_at(i)) return false;
      const int byte = model->code_byte(coder, Coder::kDecodes ? 0 : data[i], *history, i);
      if (Coder::kDecodes) data[i] = static_cast<uint8_t>(byte);
      history->push(static_cast<uint8_t>(byte));
    }
    return !history->failed();
  }

  ByteModel model;
  Bytes history;
};

struct ReferenceByteRun {
  bool init(const Plan& plan, uint32_t number) {
    const Extent& first = *first_extent(plan, number);
    const uint64_t total = section_bytes(plan, number);
    window = first.window, window_size = first.window_size;
    if (!model.init(static_cast<size_t>(total), first.stride, 16,
                    reference_match_bits(total + window_size))) {
      return false;
    }
    history.push(0);  // what no match begins at
    for (size_t i = 0; i < window_size; ++i) {
      if (stopped_at(i)) return false;
      model.remember(history);
      history.push(plan.base[window + i]);
    }
    model.end_base(history.size());
    return !history.failed();
  }

  template <typename Coder, typename Noise>
  Decoded run(const Plan&, const Extent& e, Coder* coder, Noise*, uint8_t* data) {
    const uint64_t anchor = e.base - window;
    model.put_anchor(anchor < window_size ? static_cast<size_t>(anchor) + 1 : 0);
    return done(ByteRun::code_bytes(&model, &history, e, coder, data));
  }

  ReferenceByteModel model;
  Bytes history;
  uint64_t window = 0, window_size = 0;
};

struct ReferenceSymbolRun {
  bool init(const Plan&, uint32_t) { return model.init(); }

  template <typename Coder, typename Noise>
  Decoded run(const Plan& plan, const Extent& e, Coder* coder, Noise*, uint8_t* data) {
    const size_t count = static_cast<size_t>(e.count());
    const SymbolLayout l = symbol_layout(e);
    Array<uint8_t> references(count), values(count);
    if (!references.ok() || !values.ok() || !references_of(plan, e, references.data()))
      return Decoded::kMemory;
    if (!Coder::kDecodes) {
      symbols_of(plan, e, data, values.data());
      to_differences(plan, e, values.data());
    }
    if (!model.run(coder, values.data(), references.data(), count, l.row, l.last, reference_bits(e))) {
      return Decoded::kMemory;
    }
    if (!Coder::kDecodes) return Decoded::kDone;
    from_differences(plan, e, values.data());
    return restore_symbols(plan, e, values.data(), count, data) ? Decoded::kDone : Decoded::kMalformed;
  }

  ReferenceModel model;
};

struct ReferenceFloatRun {
  bool init(const Plan&, uint32_t) { return model.init(); }

  template <typename Coder, typename Noise>
  Decoded run(const Plan& plan, const Extent& e, Coder* coder, Noise* noise, uint8_t* data) {
    const SymbolLayout l = symbol_layout(e);
    return done(model.run(coder, noise, data, plan.base + e.base, l.count, l.row, l.last, e.element));
  }

  ReferenceFloatModel model;
};

namespace {

// `memory` is the original, or where extents are restored.
template <typename Run, typename Coder, typename Noise>
Decoded run_section(Plan* plan, uint32_t number, Coder* coder, Noise* noise, uint8_t* memory) {
  Run run;
  if (!run.init(*plan, number)) return Decoded::kMemory;
  Decoded result = Decoded::kDone;
  each_extent(*plan, number, [&](Extent& e) {
    const uint64_t before = 8ull * coder->bytes() + noise->bits();
    result = run.run(*plan, e, coder, noise, memory + (Coder::kDecodes ? e.place : e.offset));
    e.coded_bits = 8ull * coder->bytes() + noise->bits() - before;
    return result == Decoded::kDone;
  });
  return result;
}

}  // namespace

template <typename Run>
bool encode_modelled(Plan* plan, uint32_t number, const uint8_t* original, Bytes* out) {
  Bytes coded, noise_bytes;
  ArithmeticEncoder coder(&coded);
  BitWriter noise(&noise_bytes);
  // Encoding leaves the original as it is: the models write only where they decode.
  const Decoded result = run_section<Run>(plan, number, &coder, &noise, const_cast<uint8_t*>(original));
  if (result != Decoded::kDone) return false;
  coder.finish();
  noise.finish();
  out->varint(coded.size());
  out->append(coded.data(), coded.size());
  out->append(noise_bytes.data(), noise_bytes.size());
  return !out->failed() && !coded.failed() && !noise_bytes.failed();
}

template <typename Run>
Decoded decode_modelled(Plan* plan, uint32_t number, const uint8_t* payload, size_t size, uint8_t* memory) {
  Reader in(payload, size);
  const uint64_t coded = in.varint();
  if (in.bad() || coded > in.left()) return Decoded::kMalformed;
  ArithmeticDecoder coder(in.here(), static_cast<size_t>(coded));
  in.take(static_cast<size_t>(coded));
  BitReader noise(in.here(), in.left());
  const Decoded result = run_section<Run>(plan, number, &coder, &noise, memory);
  const bool exact = coder.overrun() <= 4 && noise.exact();
  return result == Decoded::kDone && !exact ? Decoded::kMalformed : result;
}

#define KC_FOR_RUN(Run)                                                        \
  template bool encode_modelled<Run>(Plan*, uint32_t, const uint8_t*, Bytes*); \
  template Decoded decode_modelled<Run>(Plan*, uint32_t, const uint8_t*, size_t, uint8_t*);
KC_FOR_RUN(SymbolRun)
KC_FOR_RUN(FloatRun)
KC_FOR_RUN(IntegerRun)
KC_FOR_RUN(ByteRun)
KC_FOR_RUN(ReferenceByteRun)
KC_FOR_RUN(ReferenceSymbolRun)
KC_FOR_RUN(ReferenceFloatRun)
#undef KC_FOR_RUN

}  // namespace kc
