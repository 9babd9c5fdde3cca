#include "cuda/copy/tensor_map.h"

#include "core/plan.h"
#include "core/status.h"
#include "cuda/driver.h"

namespace flashdec::cuda {
namespace {

constexpr cuuint32_t kColumns = 64;  // of a panel: 128 bytes, the widest row that is swizzled
constexpr int kPanelRow = 128;       // bytes
constexpr int kBlockRows = 16;

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

}  // namespace

TmaMaps make_maps(const Launch& launch, const TileSize& tile) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  TmaMaps maps;
  maps.box_tokens = tile.tokens;
  maps.boxes_log = 0;
  while (problem.paged() && problem.page_size % maps.box_tokens != 0) {
    maps.box_tokens /= 2;
    ++maps.boxes_log;
  }
  // A box of the whole tile comes panel by panel.  Smaller ones come in blocks of 16 rows, which a
  // box of 16 tokens fills with all its panels.
  const bool by_panels = maps.box_tokens == tile.tokens;
  maps.panel_bytes = kPanelRow * (by_panels ? tile.tokens : kBlockRows);
  maps.rows_bytes = kPanelRow * kBlockRows * (by_panels ? 1 : tile.panels);
  const bool whole = by_panels || maps.box_tokens == kBlockRows || tile.panels == 1;
  const int64_t row = tile.panels * int64_t{kColumns};
  const bool k_whole = whole && problem.head_dim == row;
  const bool v_whole = whole && problem.head_dim_v == row;
  maps.k_boxes = k_whole ? 1 : tile.panels;
  maps.v_boxes = v_whole ? 1 : tile.panels;
  encode(&maps.k, problem, {"k", x.k, x.k_strides, problem.head_dim}, maps.box_tokens, k_whole);
  encode(&maps.v, problem, {"v", x.v, x.v_strides, problem.head_dim_v}, maps.box_tokens, v_whole);
  return maps;
}

}  // namespace flashdec::cuda
