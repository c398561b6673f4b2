// Java's interface to the C ABI: direct buffers in, direct buffers out, nothing copied.
//
// Every length that Java hands over is held against the capacity that the virtual machine reports,
// so that a wrong caller gets an error and not another object's memory. Nothing is thrown from here:
// the status goes into a long array, and Java words the exception.
#include <jni.h>

#include "keras_compress.h"

// The binary delegate is a part of the library only where it was built in.
extern "C" {
__attribute__((weak)) void* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                                          void (*report)(const char*));
__attribute__((weak)) void tflite_plugin_destroy_delegate(void* delegate);
}

namespace {

// As KczDecoder.java reads them: status, place, section, version, value.
constexpr jsize kErrorFields = 5;

void Tell(JNIEnv* env, jlongArray out, const kc_error& error) {
  if (out == nullptr || env->GetArrayLength(out) < kErrorFields) return;
  const jlong fields[kErrorFields] = {error.status, error.place, static_cast<jlong>(error.section),
                                      static_cast<jlong>(error.version), static_cast<jlong>(error.value)};
  env->SetLongArrayRegion(out, 0, kErrorFields, fields);
}

jlong Refuse(JNIEnv* env, jlongArray out) {
  kc_error error = {};
  error.status = KC_ERROR_ARGUMENT;
  Tell(env, out, error);
  return -1;
}

struct Span {
  uint8_t* data;
  size_t size;
};

// The first `length` bytes of a direct buffer; false if it isn't direct or holds fewer.
bool Direct(JNIEnv* env, jobject buffer, jlong length, Span* out) {
  if (buffer == nullptr || length < 0) return false;
  void* address = env->GetDirectBufferAddress(buffer);
  const jlong capacity = env->GetDirectBufferCapacity(buffer);
  // A buffer without room may have no address.
  if (capacity < length || (address == nullptr && length > 0)) return false;
  static uint8_t nothing;
  out->data = address == nullptr ? &nothing : static_cast<uint8_t*>(address);
  out->size = static_cast<size_t>(length);
  return true;
}

bool Overlap(const Span& a, const Span& b) {
  return a.size > 0 && b.size > 0 && a.data < b.data + b.size && b.data < a.data + a.size;
}

}  // namespace

#define KC_JNI(type, name) \
  extern "C" JNIEXPORT type JNICALL Java_org_kerascompress_bench_core_KczDecoder_##name

KC_JNI(jint, abiVersion)(JNIEnv*, jclass) { return static_cast<jint>(kc_abi_version()); }

KC_JNI(jint, formatVersion)(JNIEnv*, jclass) { return static_cast<jint>(kc_format_version()); }

// Size of the original, or -1 with `error` filled.
KC_JNI(jlong, unpackedSize)(JNIEnv* env, jclass, jobject packed, jlong length, jlongArray error) {
  Span in;
  if (!Direct(env, packed, length, &in)) return Refuse(env, error);
  uint64_t size = 0;
  kc_error found = {};
  if (kc_unpacked_size(in.data, in.size, &size, &found) != KC_OK) {
    Tell(env, error, found);
    return -1;
  }
  // What no Java buffer could hold is told apart from a negative status.
  if (size > INT64_MAX) return Refuse(env, error);
  return static_cast<jlong>(size);
}

// Bytes restored into `out`, or -1 with `error` filled.
KC_JNI(jlong, unpackInto)(JNIEnv* env, jclass, jobject packed, jlong length, jobject out, jlong capacity,
                          jlongArray error) {
  Span in, to;
  if (!Direct(env, packed, length, &in) || !Direct(env, out, capacity, &to) || Overlap(in, to)) {
    return Refuse(env, error);
  }
  size_t written = 0;
  kc_error found = {};
  if (kc_unpack_into(in.data, in.size, to.data, to.size, &written, &found) != KC_OK) {
    Tell(env, error, found);
    return -1;
  }
  return static_cast<jlong>(written);
}

KC_JNI(jstring, statusMessage)(JNIEnv* env, jclass, jint status) {
  return env->NewStringUTF(kc_status_message(status));
}

KC_JNI(jstring, placeName)(JNIEnv* env, jclass, jint place) {
  return env->NewStringUTF(kc_place_name(place));
}

KC_JNI(jboolean, hasBinaryDelegate)(JNIEnv*, jclass) {
  return tflite_plugin_create_delegate != nullptr && tflite_plugin_destroy_delegate != nullptr;
}

// A `TfLiteDelegate*` for `org.tensorflow.lite.Delegate.getNativeHandle`, or 0.
KC_JNI(jlong, createBinaryDelegate)(JNIEnv*, jclass) {
  if (tflite_plugin_create_delegate == nullptr) return 0;
  return reinterpret_cast<jlong>(tflite_plugin_create_delegate(nullptr, nullptr, 0, nullptr));
}

KC_JNI(void, deleteBinaryDelegate)(JNIEnv*, jclass, jlong handle) {
  if (tflite_plugin_destroy_delegate != nullptr && handle != 0) {
    tflite_plugin_destroy_delegate(reinterpret_cast<void*>(handle));
  }
}
