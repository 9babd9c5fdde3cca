#include "core/array.h"

#include <cstring>

#include "core/abi.h"
#include "core/interpreter.h"
#include "core/status.h"

// The layouts that DLPack 1.x publishes, written down from its documentation.
struct DLTensor {
  void* data;
  struct {
    int32_t type;
    int32_t id;
  } device;
  int32_t ndim;
  struct {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
  } dtype;
  int64_t* shape;
  int64_t* strides;  // null: packed
  uint64_t byte_offset;
};

namespace flashdec {
namespace {

struct Version {
  uint32_t major;
  uint32_t minor;
};

struct ManagedTensor {  // of a capsule named "dltensor"
  DLTensor tensor;
};

struct ManagedTensorVersioned {  // of a capsule named "dltensor_versioned"
  Version version;
  void* manager;
  void (*deleter)(void*);
  uint64_t flags;
  DLTensor tensor;
};

constexpr uint64_t kReadonly = 1;  // of ManagedTensorVersioned::flags

struct ExchangeApi {
  Version version;
  void* previous;
  void* allocate;
  void* managed_from_object;
  void* managed_to_object;
  int (*tensor_from_object)(void* object, DLTensor* tensor);
  int (*current_work_stream)(int32_t device_type, int32_t device_id, void** stream);
};

struct ArrayInterface {  // NumPy's PyArrayInterface
  int two;
  int ndim;
  char kind;
  int item_size;
  int flags;
  intptr_t* shape;
  intptr_t* strides;  // bytes
  void* data;
};

constexpr int kNativeByteOrder = 0x200;
constexpr int kWriteable = 0x400;

constexpr uint32_t kDlInt = 0, kDlUint = 1, kDlFloat = 2, kDlBfloat = 4, kDlComplex = 5,
                   kDlBool = 6, kDlOther = 255;
constexpr int32_t kDlCpu = 1, kDlCuda = 2;

constexpr int32_t kMaxDims = 8;

uint32_t dtype_of(uint32_t code, uint32_t bits) {
  if (code == kDlFloat && bits == 32) return FLASHDEC_FLOAT32;
  if (code == kDlFloat && bits == 16) return FLASHDEC_FLOAT16;
  if (code == kDlBfloat && bits == 16) return FLASHDEC_BFLOAT16;
  return 0;
}

uint32_t code_of(char kind) {
  switch (kind) {
    case 'i':
      return kDlInt;
    case 'u':
      return kDlUint;
    case 'f':
      return kDlFloat;
    case 'c':
      return kDlComplex;
    case 'b':
      return kDlBool;
    default:
      return kDlOther;
  }
}

void check_ndim(int32_t ndim, const char* name) {
  if (ndim < 0 || ndim > kMaxDims)
    refuse(FLASHDEC_INVALID_VALUE, "%s has %d dimensions; at most %d are understood", name, ndim,
           kMaxDims);
}

void read_interface(const ArrayInterface& source, uint32_t opaque_dtype, const char* name,
                    Array* array) {
  if (source.two != 2)
    refuse(FLASHDEC_INVALID_VALUE, "%s gives an array interface of version %d; it must be 2", name,
           source.two);
  if ((source.flags & kNativeByteOrder) == 0)
    refuse(FLASHDEC_INVALID_VALUE, "%s has the other byte order; convert it first", name);
  if (source.item_size < 1)
    refuse(FLASHDEC_INVALID_VALUE, "%s has elements of %d bytes; they must have at least 1", name,
           source.item_size);
  check_ndim(source.ndim, name);
  array->struct_size = sizeof(*array);
  array->type_code = code_of(source.kind);
  array->type_bits = static_cast<uint32_t>(source.item_size) * 8;
  array->dtype = source.kind == 'V' ? opaque_dtype : dtype_of(array->type_code, array->type_bits);
  array->device_type = kDlCpu;
  array->device_id = 0;
  array->readonly = (source.flags & kWriteable) == 0;
  array->ndim = source.ndim;
  array->data = source.data;
  for (int32_t i = 0; i < source.ndim; ++i) {
    array->shape[i] = source.shape[i];
    if (source.shape[i] > 1 && source.strides[i] % source.item_size != 0)
      refuse(FLASHDEC_INVALID_STRIDE, "%s has a stride of %lld bytes; it must be a multiple of %d",
             name, static_cast<long long>(source.strides[i]), source.item_size);
    array->strides[i] = source.strides[i] / source.item_size;
  }
}

void read_capsule(const flashdec_object& object, const char* name, Array* array) {
  const char* kind = interpreter().capsule_name(object.object);
  const bool versioned = kind != nullptr && std::strcmp(kind, "dltensor_versioned") == 0;
  if (!versioned && (kind == nullptr || std::strcmp(kind, "dltensor") != 0))
    refuse(FLASHDEC_INVALID_VALUE, "%s gives a capsule named \"%s\", not an unused DLPack tensor",
           name, kind != nullptr ? kind : "");
  void* pointer = interpreter().capsule_pointer(object.object, kind);
  if (!versioned) return read_tensor(static_cast<ManagedTensor*>(pointer)->tensor, name, array);
  const auto* managed = static_cast<ManagedTensorVersioned*>(pointer);
  if (managed->version.major != 1)
    refuse(FLASHDEC_INVALID_VALUE, "%s gives DLPack %u.%u; version 1 is understood", name,
           managed->version.major, managed->version.minor);
  read_tensor(managed->tensor, name, array);
  array->readonly = (managed->flags & kReadonly) != 0;
}

void read_exchange(const flashdec_object& object, const char* name, Array* array) {
  const auto* api = static_cast<const ExchangeApi*>(require(object.reader->exchange, "exchange"));
  if (api->version.major != 1 || api->tensor_from_object == nullptr)
    refuse(FLASHDEC_INVALID_VALUE,
           "the exchange table of %s is of DLPack %u.%u; version 1 with borrowed tensors is "
           "understood",
           name, api->version.major, api->version.minor);
  DLTensor tensor;
  if (api->tensor_from_object(object.object, &tensor) != 0)
    refuse(FLASHDEC_INVALID_VALUE, "%s cannot be read as a tensor", name);
  read_tensor(tensor, name, array);
}

}  // namespace

void read_tensor(const DLTensor& tensor, const char* name, Array* array) {
  check_ndim(tensor.ndim, name);
  const bool scalar = tensor.dtype.lanes == 1;
  array->struct_size = sizeof(*array);
  array->type_code = tensor.dtype.code;
  array->type_bits = uint32_t{tensor.dtype.bits} * tensor.dtype.lanes;
  array->dtype = scalar ? dtype_of(tensor.dtype.code, tensor.dtype.bits) : 0;
  array->device_type = tensor.device.type;
  array->device_id = tensor.device.id;
  array->readonly = 0;
  array->ndim = tensor.ndim;
  array->data = tensor.data == nullptr
                    ? nullptr
                    : static_cast<unsigned char*>(tensor.data) + tensor.byte_offset;
  int64_t packed = 1;
  for (int32_t i = tensor.ndim - 1; i >= 0; --i) {
    array->shape[i] = tensor.shape[i];
    array->strides[i] = tensor.strides != nullptr ? tensor.strides[i] : packed;
    packed *= tensor.shape[i];
  }
}

void read_object(const flashdec_object& object, const char* name, Array* array) {
  require(object.object, name);
  const flashdec_object_reader& reader = *require(object.reader, "reader");
  if (reader.struct_size != sizeof(flashdec_object_reader))
    refuse(FLASHDEC_INVALID_STRUCT_SIZE, "reader->struct_size is %u; it must be %zu",
           reader.struct_size, sizeof(flashdec_object_reader));
  switch (reader.kind) {
    case FLASHDEC_OBJECT_EXCHANGE:
      return read_exchange(object, name, array);
    case FLASHDEC_OBJECT_CAPSULE:
      return read_capsule(object, name, array);
    case FLASHDEC_OBJECT_ARRAY_STRUCT:
      return read_interface(*static_cast<const ArrayInterface*>(require(
                                interpreter().capsule_pointer(object.object, nullptr), name)),
                            reader.opaque_dtype, name, array);
    default:
      refuse(FLASHDEC_INVALID_VALUE, "reader->kind is %u; it must be 1 to 3", reader.kind);
  }
}

bool current_stream(const flashdec_object_reader& reader, int32_t device, CUstream_st** stream) {
  if (reader.kind != FLASHDEC_OBJECT_EXCHANGE) return false;
  const auto* api = static_cast<const ExchangeApi*>(reader.exchange);
  if (api->current_work_stream == nullptr) return false;
  void* current = nullptr;
  if (api->current_work_stream(kDlCuda, device, &current) != 0)
    refuse(FLASHDEC_CUDA_ERROR, "q's library cannot tell its current stream on CUDA device %d",
           device);
  *stream = static_cast<CUstream_st*>(current);
  return true;
}

}  // namespace flashdec
