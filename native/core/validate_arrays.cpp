#include "core/validate_arrays.h"

#include "core/array_text.h"
#include "core/status.h"

namespace flashdec {
namespace {

using ll = long long;

constexpr int32_t kCpu = 1, kCuda = 2, kPinned = 3, kManaged = 13;  // DLDeviceType
constexpr uint32_t kInt = 0, kUint = 1;                             // DLDataTypeCode

constexpr const char* kNames[FLASHDEC_OPERAND_COUNT] = {"q",   "k",      "v",          "o",
                                                        "lse", "kv_len", "page_table", "status"};

bool is_output(int operand) {
  return operand == FLASHDEC_OPERAND_O || operand == FLASHDEC_OPERAND_LSE ||
         operand == FLASHDEC_OPERAND_STATUS;
}

bool is_required(int operand, const Problem& problem) {
  return operand <= FLASHDEC_OPERAND_O ||
         (operand == FLASHDEC_OPERAND_PAGE_TABLE && problem.paged());
}

const char* device_name(int32_t type) {
  switch (type) {
    case kCpu:
      return "the CPU";
    case kCuda:
      return "a CUDA device";
    case kPinned:
      return "pinned host memory";
    case kManaged:
      return "CUDA managed memory";
    default:
      return "a device of another kind";
  }
}

void check_device(const Plan& plan, int operand, const Array& array) {
  const char* name = kNames[operand];
  const bool cuda = plan.device >= 0;
  const bool right_kind = cuda ? array.device_type == kCuda || array.device_type == kManaged
                               : array.device_type == kCpu || array.device_type == kPinned;
  if (!right_kind)
    refuse(FLASHDEC_WRONG_DEVICE, "%s is on %s; the plan runs on %s", name,
           device_name(array.device_type), cuda ? "a CUDA device" : "the CPU");
  if (cuda && array.device_type == kCuda && array.device_id != plan.device)
    refuse(FLASHDEC_WRONG_DEVICE, "%s is on CUDA device %d; the plan runs on device %d", name,
           array.device_id, plan.device);
}

void check_float(int operand, const Array& array, Dtype wanted) {
  if (array.dtype != wanted)
    refuse(FLASHDEC_INVALID_VALUE, "%s has elements of type %s; the plan takes %s", kNames[operand],
           type_name(array).text, dtype_name(wanted));
}

void check_word(int operand, const Array& array) {
  const bool sign_is_free = operand == FLASHDEC_OPERAND_STATUS;
  const bool right = array.type_bits == 32 && array.dtype == 0 &&
                     (array.type_code == kInt || (sign_is_free && array.type_code == kUint));
  if (!right)
    refuse(FLASHDEC_INVALID_VALUE, "%s has elements of type %s; it must be int32", kNames[operand],
           type_name(array).text);
}

void check_dtype(const Problem& problem, int operand, const Array& array) {
  switch (operand) {
    case FLASHDEC_OPERAND_Q:
    case FLASHDEC_OPERAND_O:
      return check_float(operand, array, problem.element);
    case FLASHDEC_OPERAND_K:
    case FLASHDEC_OPERAND_V:
      return check_float(operand, array, problem.aux_element);
    case FLASHDEC_OPERAND_LSE:
      return check_float(operand, array, FLASHDEC_FLOAT32);
    default:
      return check_word(operand, array);
  }
}

void check_ndim(int operand, const Array& array, int32_t ndim) {
  if (array.ndim != ndim)
    refuse(FLASHDEC_INVALID_VALUE, "%s has %d dimensions; it must have %d", kNames[operand],
           array.ndim, ndim);
}

void check_extent(int operand, const Array& array, int axis, int64_t wanted) {
  if (array.shape[axis] != wanted)
    refuse(FLASHDEC_INVALID_VALUE, "%s has %lld elements along axis %d; the plan takes %lld",
           kNames[operand], ll(array.shape[axis]), axis, ll(wanted));
}

void check_least_extent(int operand, const Array& array, int axis, int64_t least) {
  if (array.shape[axis] < least)
    refuse(FLASHDEC_INVALID_VALUE,
           "%s has %lld elements along axis %d; the plan needs at least %lld", kNames[operand],
           ll(array.shape[axis]), axis, ll(least));
}

void check_innermost(int operand, const Array& array) {
  const int32_t last = array.ndim - 1;
  if (array.shape[last] > 1 && array.strides[last] != 1)
    refuse(FLASHDEC_INVALID_STRIDE, "%s has a stride of %lld along its last axis; it must be 1",
           kNames[operand], ll(array.strides[last]));
}

void check_cache(const Problem& p, uint32_t axes, int operand, const Array& array) {
  const int token_axis = axes == FLASHDEC_AXES_BSHD ? 1 : 2;
  check_ndim(operand, array, 4);
  check_extent(operand, array, 3 - token_axis, p.kv_heads);
  check_extent(operand, array, 3, operand == FLASHDEC_OPERAND_K ? p.head_dim : p.head_dim_v);
  if (p.paged()) {
    check_least_extent(operand, array, 0, p.num_pages);
    check_extent(operand, array, token_axis, p.page_size);
  } else {
    check_extent(operand, array, 0, p.batch);
    check_least_extent(operand, array, token_axis, p.max_kv_len);
  }
}

void check_shape(const Problem& p, uint32_t axes, int operand, const Array& array) {
  switch (operand) {
    case FLASHDEC_OPERAND_K:
    case FLASHDEC_OPERAND_V:
      check_cache(p, axes, operand, array);
      break;
    case FLASHDEC_OPERAND_Q:
    case FLASHDEC_OPERAND_O:
      check_ndim(operand, array, 3);
      check_extent(operand, array, 0, p.batch);
      check_extent(operand, array, 1, p.q_heads);
      check_extent(operand, array, 2, operand == FLASHDEC_OPERAND_Q ? p.head_dim : p.head_dim_v);
      break;
    case FLASHDEC_OPERAND_LSE:
      check_ndim(operand, array, 2);
      check_extent(operand, array, 0, p.batch);
      check_extent(operand, array, 1, p.q_heads);
      return;  // any strides
    case FLASHDEC_OPERAND_KV_LEN:
      check_ndim(operand, array, 1);
      check_extent(operand, array, 0, p.batch);
      break;
    case FLASHDEC_OPERAND_PAGE_TABLE:
      check_ndim(operand, array, 2);
      check_extent(operand, array, 0, p.batch);
      check_least_extent(operand, array, 1, p.table_width());
      break;
    default:
      check_ndim(operand, array, 1);
      check_extent(operand, array, 0, 1);
      break;
  }
  check_innermost(operand, array);
}

void check_memory(int operand, const Array& array) {
  if (array.data == nullptr)
    refuse(FLASHDEC_NULL_POINTER,
           "%s has no memory behind it; a fake, meta or empty tensor cannot run", kNames[operand]);
  if (is_output(operand) && array.readonly)
    refuse(FLASHDEC_INVALID_VALUE, "%s is read-only; outputs must be writable", kNames[operand]);
}

void check_array(const Plan& plan, uint32_t axes, int operand, const Array* array) {
  if (array == nullptr) {
    if (is_required(operand, plan.problem))
      refuse(FLASHDEC_NULL_POINTER, "%s is missing; it is required", kNames[operand]);
    return;
  }
  check_device(plan, operand, *array);
  check_dtype(plan.problem, operand, *array);
  check_shape(plan.problem, axes, operand, *array);
  check_memory(operand, *array);
}

void* data_of(const Array* array) {
  return array != nullptr ? array->data : nullptr;
}

void bind_lse(const Array* lse, flashdec_args* args) {
  args->lse = static_cast<float*>(data_of(lse));
  args->lse_stride_batch = lse != nullptr ? lse->strides[0] : 0;
  args->lse_stride_head = lse != nullptr ? lse->strides[1] : 0;
}

}  // namespace

const char* operand_name(int operand) {
  return kNames[operand];
}

void bind_arrays(const Plan& plan, uint32_t axes, const Arrays& arrays, flashdec_args* args) {
  if (axes != FLASHDEC_AXES_BSHD && axes != FLASHDEC_AXES_BHSD)
    refuse(FLASHDEC_INVALID_VALUE, "axes is %u; it must be FLASHDEC_AXES_BSHD (1) or BHSD (2)",
           axes);
  for (int i = 0; i < FLASHDEC_OPERAND_COUNT; ++i)
    check_array(plan, axes, i, arrays.of[i]);
  const int token = axes == FLASHDEC_AXES_BSHD ? 1 : 2;
  const Array& q = *arrays.of[FLASHDEC_OPERAND_Q];
  const Array& k = *arrays.of[FLASHDEC_OPERAND_K];
  const Array& v = *arrays.of[FLASHDEC_OPERAND_V];
  const Array& o = *arrays.of[FLASHDEC_OPERAND_O];
  const Array* table = arrays.of[FLASHDEC_OPERAND_PAGE_TABLE];
  args->q = q.data;
  args->k = k.data;
  args->v = v.data;
  args->o = o.data;
  args->kv_len = static_cast<int32_t*>(data_of(arrays.of[FLASHDEC_OPERAND_KV_LEN]));
  args->page_table = static_cast<int32_t*>(data_of(table));
  args->status = static_cast<uint32_t*>(data_of(arrays.of[FLASHDEC_OPERAND_STATUS]));
  args->q_stride_batch = q.strides[0];
  args->q_stride_token = 0;
  args->q_stride_head = q.strides[1];
  args->k_stride_batch = k.strides[0];
  args->k_stride_token = k.strides[token];
  args->k_stride_head = k.strides[3 - token];
  args->v_stride_batch = v.strides[0];
  args->v_stride_token = v.strides[token];
  args->v_stride_head = v.strides[3 - token];
  args->o_stride_batch = o.strides[0];
  args->o_stride_token = 0;
  args->o_stride_head = o.strides[1];
  args->page_table_stride = table != nullptr ? table->strides[0] : 0;
  bind_lse(arrays.of[FLASHDEC_OPERAND_LSE], args);
}

}  // namespace flashdec
