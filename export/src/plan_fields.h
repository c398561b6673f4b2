// What the plan says of an extent, by kind of method: how it is written, and read and checked.
#ifndef KC_PLAN_FIELDS_H_
#define KC_PLAN_FIELDS_H_

#include "fast_model.h"
#include "methods.h"

namespace kc {

// The functions of `MethodInfo`, for each kind of fields.
struct NoFields {
  static void write(const Plan&, const Extent&, BasePlaces*, Bytes*) {}
  static bool read(Reader*, Plan*, BasePlaces*, Extent*) { return true; }
};

struct FillFields {
  static void write(const Plan&, const Extent& e, BasePlaces*, Bytes* out) { out->push(e.fill); }
  static bool read(Reader* in, Plan*, BasePlaces*, Extent* e) { return e->fill = in->byte(), true; }
};

struct CopyFields {
  static void write(const Plan&, const Extent& e, BasePlaces*, Bytes* out) { out->varint(e.back); }
  static bool read(Reader* in, Plan*, BasePlaces*, Extent* e) { return e->back = in->varint(), true; }
};

struct StrideField {
  static void write(const Plan&, const Extent& e, BasePlaces*, Bytes* out) { out->push(e.stride); }
  static bool read(Reader* in, Plan*, BasePlaces*, Extent* e) {
    e->stride = in->byte();
    return e->stride >= 1;
  }
};

struct IntegerFields {  // the most bits of a magnitude
  static void write(const Plan&, const Extent& e, BasePlaces*, Bytes* out) { out->push(e.highest); }
  static bool read(Reader* in, Plan*, BasePlaces*, Extent* e) {
    e->highest = in->byte();
    e->element = 4;
    return e->highest >= 1 && e->highest <= 32;
  }
};

struct SymbolFields {
  static void write(const Plan& plan, const Extent& e, BasePlaces*, Bytes* out);
  static bool read(Reader* in, Plan* plan, BasePlaces*, Extent* e);
};

struct FloatFields {
  static void write(const Plan& plan, const Extent& e, BasePlaces*, Bytes* out);
  static bool read(Reader* in, Plan* plan, BasePlaces*, Extent* e);
};

struct ReferenceFloatFields {
  static void write(const Plan&, const Extent& e, BasePlaces*, Bytes* out) {
    out->push(e.element);
    out->varint(e.last);
    out->varint(e.row);
  }
  static bool read(Reader* in, Plan*, BasePlaces*, Extent* e) {
    e->element = in->byte();
    e->last = in->varint();
    e->row = in->varint();
    return e->element == 2 || e->element == 4;
  }
};

struct ReferenceByteFields {
  static void write(const Plan&, const Extent& e, BasePlaces*, Bytes* out) {
    out->push(e.stride);
    if (!e.new_section) return;
    out->varint(e.window);
    out->varint(e.window_size);
  }
  static bool read(Reader* in, Plan*, BasePlaces*, Extent* e) {
    e->stride = in->byte();
    if (e->new_section) {
      e->window = in->varint();
      e->window_size = in->varint();
    }
    return e->stride >= 1;
  }
};

// A place in the base, then the others.
template <typename Fields>
struct BaseAnd {
  static void write(const Plan& plan, const Extent& e, BasePlaces* places, Bytes* out) {
    places->write(e, out);
    Fields::write(plan, e, places, out);
  }
  static bool read(Reader* in, Plan* plan, BasePlaces* places, Extent* e) {
    places->read(in, e);
    // References are looked up in one codebook.
    return Fields::read(in, plan, places, e) && e->channels == 0 && !e->has_blocks() && e->in_byte == 1;
  }
};

// A fast model's context, then the others.
template <typename Fields>
struct ContextAnd {
  static void write(const Plan& plan, const Extent& e, BasePlaces* places, Bytes* out) {
    out->push(e.context);
    Fields::write(plan, e, places, out);
  }
  static bool read(Reader* in, Plan* plan, BasePlaces* places, Extent* e) {
    e->context = in->byte();
    return is_fast_context(e->context) && Fields::read(in, plan, places, e);
  }
};

}  // namespace kc

#endif  // KC_PLAN_FIELDS_H_
