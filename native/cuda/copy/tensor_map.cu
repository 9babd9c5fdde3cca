#include "cuda/copy/tensor_map.h"

#include "core/plan.h"
#include "core/status.h"
#include "cuda/driver.h"

namespace flashdec::cuda {
namespace {

constexpr cuuint32_t kColumns = 64;  // of a panel: 128 bytes, the widest row that is swizzled
constexpr int kPanelRow = 128;       // bytes
constexpr int kBlockRows = 16, kHalfRows = 8;

struct Cache {
  const char* name;
  const void* base;
  const Strides& strides;
  int64_t dim;
};

// A stride along an axis of one element is never used, and may be anything in the caller's args.
cuuint64_t stride_bytes(int64_t extent, int64_t stride) {
  return extent > 1 ? static_cast<cuuint64_t>(stride) * 2 : 16;
}

void encode(CUtensorMap* map, const Problem& problem, const Cache& cache, int box_tokens,
            bool whole) {
  const int64_t tokens = problem.paged() ? problem.page_size : problem.max_kv_len;
  const int64_t blocks = problem.paged() ? problem.num_pages : problem.batch;
  const int64_t panels = whole ? cache.dim / kColumns : 1;
  const cuuint64_t extents[5] = {static_cast<cuuint64_t>(whole ? kColumns : cache.dim),
                                 static_cast<cuuint64_t>(tokens), static_cast<cuuint64_t>(panels),
                                 static_cast<cuuint64_t>(problem.kv_heads),
                                 static_cast<cuuint64_t>(blocks)};
  const cuuint64_t strides[4] = {stride_bytes(tokens, cache.strides.token), kColumns * 2,
                                 stride_bytes(problem.kv_heads, cache.strides.head),
                                 stride_bytes(blocks, cache.strides.batch)};
  const cuuint32_t box[5] = {kColumns, static_cast<cuuint32_t>(box_tokens),
                             static_cast<cuuint32_t>(panels), 1, 1};
  const cuuint32_t steps[5] = {1, 1, 1, 1, 1};
  const CUtensorMapDataType type = problem.element == FLASHDEC_FLOAT16
                                       ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                       : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const CUresult result =
      driver().encode_tiled(map, type, 5, const_cast<void*>(cache.base), extents, strides, box,
                            steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                            CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    refuse(FLASHDEC_CUDA_ERROR,
           "%s cannot be described to the copy engine (CUDA driver error %d; strides of %lld, %lld "
           "and %lld bytes)",
           cache.name, static_cast<int>(result), static_cast<long long>(strides[0]),
           static_cast<long long>(strides[2]), static_cast<long long>(strides[3]));
}

void replace(CUtensorMap* map, const char* name, const void* base) {
  const CUresult result = driver().replace_address(map, const_cast<void*>(base));
  if (result != CUDA_SUCCESS)
    refuse(FLASHDEC_CUDA_ERROR,
           "%s at %p cannot be described to the copy engine (CUDA driver error %d)", name, base,
           static_cast<int>(result));
}

}  // namespace

TmaMaps TmaMaps::make(const Launch& launch, const TileSize& tile) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  TmaMaps maps;
  maps.box_tokens = tile.tokens;
  maps.boxes_log = 0;
  while (problem.paged() && problem.page_size % maps.box_tokens != 0) {
    maps.box_tokens /= 2;
    ++maps.boxes_log;
  }
  // A row of boxes lies panel after panel, and the next one behind it; but tiles of one block of 16
  // rows have the layout of a box of 16 tokens, which their kernels know beforehand.
  const bool one_block = tile.tokens == kBlockRows;
  const int rows = one_block ? kBlockRows : maps.box_tokens;  // that lie together in a panel
  maps.box_bytes = kPanelRow * maps.box_tokens * (one_block ? 1 : tile.panels);
  maps.panel_bytes = kPanelRow * rows;
  maps.rows_bytes = rows > kBlockRows ? kPanelRow * kBlockRows : maps.box_bytes * kBlockRows / rows;
  maps.half_bytes = rows > kHalfRows ? kPanelRow * kHalfRows : maps.box_bytes;
  const int64_t row = tile.panels * int64_t{kColumns};
  const bool whole =
      rows == maps.box_tokens && problem.head_dim == row && problem.head_dim_v == row;
  maps.row_boxes = whole ? 1 : tile.panels;
  encode(&maps.k, problem, {"k", x.k, x.k_strides, problem.head_dim}, maps.box_tokens, whole);
  encode(&maps.v, problem, {"v", x.v, x.v_strides, problem.head_dim_v}, maps.box_tokens, whole);
  return maps;
}

void TmaMaps::aim(const Operands& x) {
  replace(&k, "k", x.k);
  replace(&v, "v", x.v);
}

}  // namespace flashdec::cuda
