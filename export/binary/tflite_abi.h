// The part of TFLite's C interface that a delegate meets, in our own words: no package ships the
// headers. The layout has been stable since TensorFlow 2.4; runtimes may add members behind these.
#ifndef KC_BINARY_TFLITE_ABI_H_
#define KC_BINARY_TFLITE_ABI_H_

#include <stddef.h>
#include <stdint.h>

extern "C" {

enum { kTfOk = 0, kTfError = 1 };
enum { kTfCustomOperator = 32, kTfDelegateOperator = 51 };
enum { kTfMmapRo = 1 };  // allocation type of constants
enum { kTfAllowDynamicTensors = 1 };

struct TfIntArray {
  int size;
  int data[];
};
struct TfDelegate;
struct TfTensor {
  int type;
  void* data;
  TfIntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  TfDelegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const TfIntArray* dims_signature;
};
struct TfNode {
  TfIntArray* inputs;
  TfIntArray* outputs;
  TfIntArray* intermediates;
  TfIntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  TfDelegate* delegate;
  bool might_have_side_effect;
};
struct TfContext;
struct TfRegistration {
  void* (*init)(TfContext*, const char*, size_t);
  void (*free)(TfContext*, void*);
  int (*prepare)(TfContext*, TfNode*);
  int (*invoke)(TfContext*, TfNode*);
  const char* (*profiling_string)(const TfContext*, const TfNode*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
  uint64_t zeros[8];  // passed by value: a runtime with a longer struct reads zeros
};
struct TfContext {
  size_t tensors_size;
  int (*GetExecutionPlan)(TfContext*, TfIntArray**);
  TfTensor* tensors;
  void* impl;
  int (*ResizeTensor)(TfContext*, TfTensor*, TfIntArray*);
  void (*ReportError)(TfContext*, const char*, ...);
  int (*AddTensors)(TfContext*, int, int*);
  int (*GetNodeAndRegistration)(TfContext*, int, TfNode**, TfRegistration**);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(TfContext*, TfRegistration, const TfIntArray*, TfDelegate*);
  int recommended_num_threads;
};
struct TfDelegateParams {
  TfDelegate* delegate;
  TfIntArray* nodes_to_replace;
  TfIntArray* input_tensors;
  TfIntArray* output_tensors;
};
struct TfDelegate {
  void* data;
  int (*Prepare)(TfContext*, TfDelegate*);
  void* CopyFromBufferHandle;
  void* CopyToBufferHandle;
  void* FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
};

}  // extern "C"

#if defined(__LP64__)
static_assert(offsetof(TfTensor, data) == 8 && offsetof(TfTensor, bytes) == 40, "TfLiteTensor");
static_assert(offsetof(TfNode, custom_initial_data) == 48, "TfLiteNode");
static_assert(offsetof(TfContext, recommended_num_threads) == 72, "TfLiteContext");
static_assert(offsetof(TfDelegate, flags) == 40, "TfLiteDelegate");
#endif

#endif  // KC_BINARY_TFLITE_ABI_H_
