#include "torch/api.h"

#include "torch/symbols.h"

namespace flashdec::torch {
namespace {

Api find_api() {
  void* const library = loaded("libtorch_cpu.so");
  if (library == nullptr)
    refuse(FLASHDEC_UNSUPPORTED,
           "this process has not loaded libtorch_cpu.so; operators of PyTorch need it");
  Api found;
  find(library, found.library_def, "aoti_torch_library_init_def");
  find(library, found.library_impl, "aoti_torch_library_init_impl");
  find(library, found.define, "aoti_torch_library_def");
  find(library, found.implement, "aoti_torch_library_impl");
  find(library, found.get_dim, "aoti_torch_get_dim");
  find(library, found.get_sizes, "aoti_torch_get_sizes");
  find(library, found.get_strides, "aoti_torch_get_strides");
  find(library, found.get_data_ptr, "aoti_torch_get_data_ptr");
  find(library, found.get_dtype, "aoti_torch_get_dtype");
  find(library, found.get_device_type, "aoti_torch_get_device_type");
  find(library, found.get_device_index, "aoti_torch_get_device_index");
  find(library, found.empty_strided, "aoti_torch_empty_strided");
  find(library, found.delete_tensor, "aoti_torch_delete_tensor_object");
  find(library, found.check, "aoti_torch_check");
  find(library, found.grad_mode_is_enabled, "aoti_torch_grad_mode_is_enabled");
  find(library, found.requires_grad, "_ZNK3c1010TensorImpl13requires_gradEv");
  find(library, found.is_inference, "_ZN2at6native12is_inferenceERKNS_6TensorE");
  find(library, found.inference_mode, "_ZN3c1013InferenceMode10is_enabledEv");
  find(library, found.bump_version, "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE");
  find(library, found.free, "_ZdlPv");
  void* const cuda = loaded("libtorch_cuda.so");
  found.current_cuda_stream = nullptr;
  if (cuda != nullptr) find(cuda, found.current_cuda_stream, "aoti_torch_get_current_cuda_stream");
  return found;
}

}  // namespace

const Api& api() {
  static const Api found = find_api();
  return found;
}

}  // namespace flashdec::torch
