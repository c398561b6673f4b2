#include "methods.h"

#include "fast_model_coding.h"
#include "lz_coding.h"
#include "modelled_coding.h"
#include "plain_coding.h"
#include "plan_fields.h"

namespace kc {
namespace {

#ifdef KC_READS_ONLY
// The linker drops what nothing names.
#define KC_WRITES(function) nullptr
#else
#define KC_WRITES(function) function
#endif
#define KC_FIELDS(Fields) KC_WRITES(Fields::write), Fields::read
#define KC_PLAINLY KC_WRITES(encode_plainly), decode_plainly
#define KC_MODELLED(Run) KC_WRITES(encode_modelled<Run>), decode_modelled<Run>
#define KC_FAST KC_WRITES(encode_fast), decode_fast

using FastSymbolFields = ContextAnd<SymbolFields>;
using FastFloatFields = ContextAnd<FloatFields>;
using FastIntegerFields = ContextAnd<IntegerFields>;
using ReferenceSymbolFields = BaseAnd<SymbolFields>;

constexpr MethodInfo kMethods[] = {
    // as it is
    {kMethodRaw, "raw", 0, KC_FIELDS(NoFields), KC_PLAINLY},
    // one byte, repeated
    {kMethodFill, "fill", kInline, KC_FIELDS(FillFields), nullptr, nullptr},
    // the same bytes as an earlier extent
    {kMethodCopy, "copy", kInline, KC_FIELDS(CopyFields), nullptr, nullptr},
    // byte model
    {kMethodBytes, "bytes", kOfBytes | kLearns, KC_FIELDS(StrideField), KC_MODELLED(ByteRun)},
    // codebook, symbol model
    {kMethodSymbols, "symbols", kInRows | kLearns, KC_FIELDS(SymbolFields), KC_MODELLED(SymbolRun)},
    // float model
    {kMethodFloats, "floats", kInRows | kLearns, KC_FIELDS(FloatFields), KC_MODELLED(FloatRun)},
    // codebook, canonical Huffman over indices
    {kMethodHuffman, "huffman", 0, KC_FIELDS(SymbolFields), KC_PLAINLY},
    // codebook, canonical Huffman over (zeros before, value) pairs
    {kMethodGaps, "gaps", 0, KC_FIELDS(SymbolFields), KC_PLAINLY},
    // float bytes in planes, each Huffman coded or as it is
    {kMethodPlanes, "planes", 0, KC_FIELDS(FloatFields), KC_PLAINLY},
    // patches: the bytes of the base file at an offset
    {kMethodBase, "base", kInline | kPatchOnly | kTakesBase, KC_FIELDS(BaseAnd<NoFields>), nullptr, nullptr},
    // patches: symbols, by the reference model
    {kMethodReferenceSymbols, "reference symbols", kPatchOnly | kTakesBase | kInRows | kLearns,
     KC_FIELDS(ReferenceSymbolFields), KC_MODELLED(ReferenceSymbolRun)},
    // patches: floats, by the reference model of floats
    {kMethodReferenceFloats, "reference floats", kPatchOnly | kTakesBase | kInRows | kLearns,
     KC_FIELDS(BaseAnd<ReferenceFloatFields>), KC_MODELLED(ReferenceFloatRun)},
    // 32-bit integers, by the integer model
    {kMethodIntegers, "integers", 0, KC_FIELDS(IntegerFields), KC_MODELLED(IntegerRun)},
    // symbols, by the fast model
    {kMethodFastSymbols, "fast symbols", kInRows | kFast, KC_FIELDS(FastSymbolFields), KC_FAST},
    // floats, by the fast float model
    {kMethodFastFloats, "fast floats", kInRows | kFast, KC_FIELDS(FastFloatFields), KC_FAST},
    // 32-bit integers, by the fast integer model
    {kMethodFastIntegers, "fast integers", kFast, KC_FIELDS(FastIntegerFields), KC_FAST},
    // patches: bytes, by the byte model beside a window of the base
    {kMethodReferenceBytes, "reference bytes", kPatchOnly | kOfBytes | kLearns,
     KC_FIELDS(BaseAnd<ReferenceByteFields>), KC_MODELLED(ReferenceByteRun)},
    // bytes, by repeats with Huffman codes
    {kMethodRepeats, "repeats", kOfBytes, KC_FIELDS(NoFields), KC_PLAINLY},
    // bytes, by repeats with adaptive codes
    {kMethodLz, "lz", kOfBytes | kFarBack, KC_FIELDS(NoFields), KC_WRITES(encode_lz_section),
     decode_lz_section},
};

constexpr bool in_order() {
  for (size_t i = 0; i < kMethodCount; ++i) {
    if (kMethods[i].number != i) return false;
  }
  return sizeof kMethods / sizeof kMethods[0] == kMethodCount;
}
static_assert(in_order(), "a method's row is that of its number");

}  // namespace

const MethodInfo* find_method(uint8_t method) { return method < kMethodCount ? &kMethods[method] : nullptr; }

bool has_trait(uint8_t method, uint16_t trait) { return kMethods[method].has(trait); }

}  // namespace kc
