// flashdec_args_from_dlpack with a DLTensor that the caller declares, as dlpack.h publishes it.
#include <flashdec_dlpack.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

struct DLDevice {
  int32_t device_type;
  int32_t device_id;
};

struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};

namespace {

constexpr int64_t kBatch = 2, kHeads = 4, kKvHeads = 2, kTokens = 8, kDim = 16;
constexpr DLDataType kFloat32 = {2, 32, 1}, kInt32 = {0, 32, 1};

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s: %s\n", what, flashdec_last_error());
  std::exit(1);
}

struct Array {
  std::vector<int64_t> shape;
  std::vector<float> memory;
  DLTensor tensor;

  explicit Array(std::vector<int64_t> extents, DLDataType dtype = kFloat32) : shape(extents) {
    size_t count = 4;  // and 16 bytes in front, for byte_offset
    for (int64_t extent : shape)
      count *= static_cast<size_t>(extent);
    memory.assign(count + 4, 1.0f);
    tensor = {memory.data(), {1, 0}, static_cast<int32_t>(shape.size()), dtype, shape.data(),
              nullptr,       16};
  }
};

flashdec_plan select_plan() {
  flashdec_descriptor desc = {};
  desc.struct_size = sizeof desc;
  desc.batch = kBatch;
  desc.q_heads = kHeads;
  desc.kv_heads = kKvHeads;
  desc.max_kv_len = kTokens;
  desc.head_dim = kDim;
  desc.q_dtype = desc.kv_dtype = FLASHDEC_FLOAT32;
  flashdec_preference preference = {};
  preference.struct_size = sizeof preference;
  preference.prefer_backend = FLASHDEC_BACKEND_CPU;
  flashdec_plan plan;
  require(flashdec_select(&desc, &preference, nullptr, &plan) == FLASHDEC_SUCCESS, "select");
  return plan;
}

}  // namespace

int main() {
  const flashdec_plan plan = select_plan();
  Array q({kBatch, kHeads, kDim}), o({kBatch, kHeads, kDim}), lse({kBatch, kHeads});
  Array k({kBatch, kKvHeads, kTokens, kDim}), v({kBatch, kKvHeads, kTokens, kDim});
  Array kv_len({kBatch}, kInt32);
  const int32_t lengths[2] = {3, 8};
  std::memcpy(&kv_len.memory[4], lengths, sizeof lengths);
  DLTensor* tensors[FLASHDEC_OPERAND_COUNT] = {&q.tensor,   &k.tensor,      &v.tensor, &o.tensor,
                                               &lse.tensor, &kv_len.tensor, nullptr,   nullptr};

  flashdec_args args = {};
  args.struct_size = sizeof args;
  const auto fill = [&](uint32_t axes) {
    return flashdec_args_from_dlpack(&plan, axes, tensors, &args);
  };
  require(fill(FLASHDEC_AXES_BHSD) == FLASHDEC_SUCCESS, "fill");
  require(args.q == &q.memory[4] && args.o == &o.memory[4], "byte_offset counts");
  require(args.k_stride_batch == kKvHeads * kTokens * kDim, "batch stride");
  require(args.k_stride_head == kTokens * kDim && args.k_stride_token == kDim, "bhsd strides");
  require(args.lse == &lse.memory[4] && args.lse_stride_batch == kHeads, "lse");
  require(args.page_table == nullptr && args.status == nullptr, "absent operands");
  require(flashdec_run(&plan, &args, nullptr, 0, nullptr) == FLASHDEC_SUCCESS, "run");
  for (int64_t i = 0; i < kBatch * kHeads * kDim; ++i)
    require(o.memory[static_cast<size_t>(4 + i)] == 1.0f, "the mean of ones is 1");

  const flashdec_args before = args;
  const auto refused = [&](int32_t status, uint32_t axes, const char* what) {
    require(fill(axes) == status && std::memcmp(&before, &args, sizeof args) == 0, what);
  };
  refused(FLASHDEC_INVALID_VALUE, FLASHDEC_AXES_BSHD, "the other axes");
  refused(FLASHDEC_INVALID_VALUE, 0, "no axes");
  q.tensor.device = {2, 0};
  refused(FLASHDEC_WRONG_DEVICE, FLASHDEC_AXES_BHSD, "a device pointer");
  q.tensor.device = {1, 0};
  q.tensor.dtype.lanes = 4;
  refused(FLASHDEC_INVALID_VALUE, FLASHDEC_AXES_BHSD, "four lanes of float32");
  q.tensor.dtype.lanes = 1;
  kv_len.tensor.dtype.lanes = 2;
  refused(FLASHDEC_INVALID_VALUE, FLASHDEC_AXES_BHSD, "two lanes of int32");
  kv_len.tensor.dtype.lanes = 1;
  tensors[FLASHDEC_OPERAND_V] = nullptr;
  refused(FLASHDEC_NULL_POINTER, FLASHDEC_AXES_BHSD, "v is missing");
  return 0;
}
