#include "methods.h"

#include "fast_coding.h"
#include "light_coding.h"
#include "lz_coding.h"
#include "modelled_coding.h"
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
#define KC_LIGHT KC_WRITES(encode_light), decode_light

using LightSymbolFields = ContextAnd<SymbolFields>;
using LightFloatFields = ContextAnd<FloatFields>;
using LightIntegerFields = ContextAnd<IntegerFields>;
using PartnerFields = BaseAnd<SymbolFields>;

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
    // patches: symbols, by the partner model
    {kMethodPartner, "partner", kPatchOnly | kTakesBase | kInRows | kLearns, KC_FIELDS(PartnerFields),
     KC_MODELLED(PartnerRun)},
    // patches: floats, by the drift model
    {kMethodDrift, "drift", kPatchOnly | kTakesBase | kInRows | kLearns, KC_FIELDS(BaseAnd<DriftFields>),
     KC_MODELLED(DriftRun)},
    // 32-bit integers, by the integer model
    {kMethodIntegers, "integers", 0, KC_FIELDS(IntegerFields), KC_MODELLED(IntegerRun)},
    // symbols, by the light model
    {kMethodLight, "light", kInRows | kLight, KC_FIELDS(LightSymbolFields), KC_LIGHT},
    // floats, by the light float model
    {kMethodLightFloats, "light floats", kInRows | kLight, KC_FIELDS(LightFloatFields), KC_LIGHT},
    // 32-bit integers, by the light integer model
    {kMethodLightIntegers, "light integers", kLight, KC_FIELDS(LightIntegerFields), KC_LIGHT},
    // patches: bytes, by the byte model beside a window of the base
    {kMethodBeside, "beside", kPatchOnly | kOfBytes | kLearns, KC_FIELDS(BaseAnd<WindowFields>),
     KC_MODELLED(BesideRun)},
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
