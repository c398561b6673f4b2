// The TFLite delegate: takes the binary nodes of a model and leaves all others to the runtime.
//
// Nothing of TFLite is linked. The runtime opens this library, calls
// `tflite_plugin_create_delegate` and is called back through function pointers alone.
#include <stdlib.h>
#include <string.h>

#include "delegate_op.h"
#include "keras_compress.h"
#include "tflite_abi.h"

namespace kc {
namespace binary {

namespace {

constexpr char kConvolution[] = "KcBinaryConv2D";
constexpr char kUnpack[] = "KcUnpackWeights";
constexpr int32_t kUnpackAttributes = 0x3155434b;  // "KCU1"
constexpr int kInputs = 6;

struct State {
  const Kernels* kernels;
  Pool* pool;
  int32_t claimed;
};

struct Node {
  State* state;
  int inputs[kInputs];  // -1: none
  int output;
  const void* attributes;
  size_t attributes_size;
  Convolution* convolution;
  int32_t images;
  size_t image_bytes, result_bytes;
  float* unpacked;  // of a node that unpacks weights
};

// The name ends at a colon; behind it stands, for whoever opens the file without this library, what
// to do.
bool is_named(const TfRegistration* r, const char* name) {
  if (r->builtin_code != kTfCustomOperator || r->custom_name == nullptr) return false;
  const size_t length = strlen(name);
  return !strncmp(r->custom_name, name, length) &&
         (r->custom_name[length] == ':' || r->custom_name[length] == 0);
}

bool view(const TfContext* context, int index, TensorView* out) {
  if (index < 0 || static_cast<size_t>(index) >= context->tensors_size) return false;
  const TfTensor& t = context->tensors[index];
  if (t.dims == nullptr) return false;
  *out = {t.type,
          t.dims->size,
          t.dims->data,
          t.bytes,
          t.allocation_type == kTfMmapRo ? t.data : nullptr,
          t.params.scale,
          t.params.zero_point};
  return true;
}

int refuse(TfContext* context, const char* name, const char* problem) {
  context->ReportError(context, "%s: %s.", name, problem);
  return kTfError;
}

void* node_init(TfContext* context, const char* buffer, size_t) {
  const TfDelegateParams* params = reinterpret_cast<const TfDelegateParams*>(buffer);
  TfNode* from;
  TfRegistration* registration;
  if (context->GetNodeAndRegistration(context, params->nodes_to_replace->data[0], &from, &registration) !=
      kTfOk) {
    return nullptr;
  }
  Node* node = static_cast<Node*>(calloc(1, sizeof(Node)));
  if (node == nullptr) return nullptr;
  node->state = static_cast<State*>(params->delegate->data);
  for (int i = 0; i < kInputs; ++i) {
    node->inputs[i] = i < from->inputs->size ? from->inputs->data[i] : -1;
  }
  node->output = from->outputs->size == 1 ? from->outputs->data[0] : -1;
  node->attributes = from->custom_initial_data;
  node->attributes_size =
      from->custom_initial_data_size < 0 ? 0 : static_cast<size_t>(from->custom_initial_data_size);
  return node;
}

void node_free(TfContext*, void* data) {
  Node* node = static_cast<Node*>(data);
  if (node == nullptr) return;
  free_convolution(node->convolution);
  free(node->unpacked);
  free(node);
}

int convolution_prepare(TfContext* context, TfNode* tf_node) {
  Node* node = static_cast<Node*>(tf_node->user_data);
  if (node == nullptr) return refuse(context, kConvolution, "there is not enough memory");
  free_convolution(node->convolution);
  node->convolution = nullptr;
  TensorView views[kInputs], output;
  const TensorView* inputs[kInputs];
  for (int i = 0; i < kInputs; ++i) {
    inputs[i] = view(context, node->inputs[i], &views[i]) ? &views[i] : nullptr;
  }
  if (!view(context, node->output, &output)) {
    return refuse(context, kConvolution, "there must be one result");
  }
  Settings settings;
  RequantizedNumbers numbers;
  int32_t shape[4];
  const char* problem = read_node(node->attributes, node->attributes_size, inputs, output, &settings,
                                  &numbers, &node->images, shape);
  State* state = node->state;
  if (problem == nullptr && state->pool == nullptr) {
    state->pool = new_pool(context->recommended_num_threads);
    if (state->pool == nullptr) problem = "there is not enough memory";
  }
  if (problem == nullptr) {
    node->convolution = new_convolution(settings, state->kernels, state->pool, &problem);
  }
  free_numbers(&numbers);
  if (problem != nullptr) return refuse(context, kConvolution, problem);

  const Geometry& g = settings.geometry;
  const size_t in = static_cast<size_t>(g.in_h) * g.in_w, out = pixels(g);
  node->image_bytes = in * (settings.input == Input::kInt8   ? g.in_c
                            : settings.input == Input::kBits ? words_of(g.in_c) * 4
                                                             : g.in_c * 4);
  node->result_bytes = out * (settings.result == Result::kInt8   ? g.out_c
                              : settings.result == Result::kBits ? words_of(g.out_c) * 4
                                                                 : g.out_c * 4);
  const int rank = inputs[0]->rank;
  TfIntArray* dims = static_cast<TfIntArray*>(malloc(sizeof(int) * (rank + 1)));
  if (dims == nullptr) return refuse(context, kConvolution, "there is not enough memory");
  dims->size = rank;
  for (int i = 0; i < rank; ++i) dims->data[i] = shape[i];
  // The runtime takes the array and frees it.
  return context->ResizeTensor(context, &context->tensors[node->output], dims);
}

int convolution_invoke(TfContext* context, TfNode* tf_node) {
  Node* node = static_cast<Node*>(tf_node->user_data);
  const TfTensor& x = context->tensors[node->inputs[0]];
  const TfTensor& y = context->tensors[node->output];
  const size_t images = static_cast<size_t>(node->images);
  if (node->convolution == nullptr || x.data == nullptr || y.data == nullptr ||
      x.bytes < images * node->image_bytes || y.bytes < images * node->result_bytes) {
    return refuse(context, kConvolution, "its tensors are not as they were prepared");
  }
  for (size_t i = 0; i < images; ++i) {
    convolve(node->convolution, static_cast<const char*>(x.data) + i * node->image_bytes,
             static_cast<char*>(y.data) + i * node->result_bytes);
  }
  return kTfOk;
}

// Weights are unpacked once, before other delegates look at the graph, and made a constant: so the
// convolutions that read them run as if the file held them in float.
int unpack_now(TfContext* context, const TfNode* from, float** memory) {
  TensorView bits, scale, output;
  if (from->inputs->size != 2 || from->outputs->size != 1 || !view(context, from->inputs->data[0], &bits) ||
      !view(context, from->inputs->data[1], &scale) || !view(context, from->outputs->data[0], &output) ||
      output.type != kTypeFloat32) {
    return refuse(context, kUnpack, "it takes bits and scales and gives one float tensor");
  }
  int32_t attributes[2];
  if (from->custom_initial_data == nullptr ||
      from->custom_initial_data_size != static_cast<int>(sizeof attributes)) {
    return refuse(context, kUnpack, "the attributes have another size than this version's");
  }
  memcpy(attributes, from->custom_initial_data, sizeof attributes);
  if (attributes[0] != kUnpackAttributes) {
    return refuse(context, kUnpack, "the attributes are of another version");
  }
  size_t count = 1;
  for (int i = 0; i < output.rank; ++i) {
    if (output.dims[i] <= 0 || count > (size_t{1} << 29) / output.dims[i]) {
      return refuse(context, kUnpack, "the shape is too large");
    }
    count *= output.dims[i];
  }
  // Before memory is taken: a byte of the file stands for eight numbers and no more.
  if (bits.bytes != (count + 7) / 8) {
    return refuse(context, kUnpack, "the packed weights don't fill their shape");
  }
  *memory = static_cast<float*>(malloc(count * 4));
  if (*memory == nullptr) return refuse(context, kUnpack, "there is not enough memory");
  if (const char* problem =
          unpack_weights(bits, scale, output.dims, output.rank, attributes[1], *memory, count)) {
    free(*memory);
    *memory = nullptr;
    return refuse(context, kUnpack, problem);
  }
  TfTensor& tensor = context->tensors[from->outputs->data[0]];
  tensor.data = *memory;
  tensor.bytes = count * 4;
  tensor.allocation_type = kTfMmapRo;
  return kTfOk;
}

void* unpack_init(TfContext* context, const char* buffer, size_t size) {
  Node* node = static_cast<Node*>(node_init(context, buffer, size));
  if (node == nullptr) return nullptr;
  const TfDelegateParams* params = reinterpret_cast<const TfDelegateParams*>(buffer);
  TfNode* from;
  TfRegistration* registration;
  if (context->GetNodeAndRegistration(context, params->nodes_to_replace->data[0], &from, &registration) ==
      kTfOk) {
    unpack_now(context, from, &node->unpacked);
  }
  return node;
}

int unpack_prepare(TfContext* context, TfNode* tf_node) {
  const Node* node = static_cast<const Node*>(tf_node->user_data);
  if (node == nullptr || node->unpacked == nullptr) {
    return refuse(context, kUnpack, "the weights could not be unpacked");
  }
  return kTfOk;
}

int unpack_invoke(TfContext*, TfNode*) { return kTfOk; }

int delegate_prepare(TfContext* context, TfDelegate* delegate) {
  TfIntArray* plan;
  if (context->GetExecutionPlan(context, &plan) != kTfOk) return kTfError;
  // The runtime's own array changes with every node that is replaced.
  const int count = plan->size;
  int* nodes = static_cast<int*>(malloc(sizeof(int) * (count + 1)));
  if (nodes == nullptr) return kTfError;
  memcpy(nodes, plan->data, sizeof(int) * count);
  int status = kTfOk;
  State* state = static_cast<State*>(delegate->data);
  for (int i = 0; i < count && status == kTfOk; ++i) {
    TfNode* node;
    TfRegistration* found;
    status = context->GetNodeAndRegistration(context, nodes[i], &node, &found);
    if (status != kTfOk) break;
    const bool unpacks = is_named(found, kUnpack);
    if (!unpacks && !is_named(found, kConvolution)) continue;
    TfRegistration kernel = {};
    kernel.init = unpacks ? unpack_init : node_init;
    kernel.free = node_free;
    kernel.prepare = unpacks ? unpack_prepare : convolution_prepare;
    kernel.invoke = unpacks ? unpack_invoke : convolution_invoke;
    kernel.builtin_code = kTfDelegateOperator;
    kernel.custom_name = unpacks ? "KcUnpackWeightsDelegate" : "KcBinaryDelegate";
    kernel.version = 1;
    alignas(TfIntArray) int one[2] = {1, nodes[i]};
    status = context->ReplaceNodeSubsetsWithDelegateKernels(
        context, kernel, reinterpret_cast<const TfIntArray*>(one), delegate);
    ++state->claimed;
  }
  free(nodes);
  return status;
}

}  // namespace
}  // namespace binary
}  // namespace kc

using namespace kc::binary;

extern "C" {

// What TFLite's `load_delegate` calls. The option "kernels" names the processor's kernels to use.
KC_API TfDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                                 size_t count, void (*report)(const char*)) {
  const Kernels* kernels = best_kernels();
  for (size_t i = 0; i < count; ++i) {
    const bool known = !strcmp(keys[i], "kernels");
    kernels = known ? kernels_named(values[i]) : nullptr;
    if (kernels == nullptr) {
      if (report != nullptr) {
        report(known ? "This processor runs no kernels of the name given to `kernels`."
                     : "The binary delegate has one option: `kernels`.");
      }
      return nullptr;
    }
  }
  TfDelegate* delegate = static_cast<TfDelegate*>(calloc(1, sizeof(TfDelegate)));
  State* state = static_cast<State*>(calloc(1, sizeof(State)));
  if (delegate == nullptr || state == nullptr) {
    free(delegate);
    free(state);
    return nullptr;
  }
  state->kernels = kernels;
  delegate->data = state;
  delegate->Prepare = delegate_prepare;
  // Without it the runtime prepares every node first and stops at those it doesn't know.
  delegate->flags = kTfAllowDynamicTensors;
  return delegate;
}

KC_API void tflite_plugin_destroy_delegate(TfDelegate* delegate) {
  if (delegate == nullptr) return;
  State* state = static_cast<State*>(delegate->data);
  free_pool(state->pool);
  free(state);
  free(delegate);
}

// Name of the kernels that this processor runs best.
KC_API const char* kc_binary_kernels(void) { return best_kernels()->name; }

}  // extern "C"
