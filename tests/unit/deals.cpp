// Doors into the deals of the tensor-core kernels (native/cuda/tensor/): the host's parameters and
// the device's own code, a warp of each block in turn.  What they would read, write and fold comes
// back as numbers; no kernel runs.
#include "emulation/words.h"
// Above: CUDA's words, for what follows.
#include "core/guarded.h"
#include "core/plan.h"
#include "cuda/tensor/even.cuh"
#include "cuda/tensor/launch_params.h"
#include "cuda/tensor/spans.cuh"
#include "cuda/tensor/splits.cuh"
#include "cuda/tensor/tree_items.cuh"

using namespace flashdec;
using namespace flashdec::cuda;

namespace {

// A piece of a unit, as a block reads it; slot -1: it is the whole of it.
struct PieceRecord {
  int32_t block, sequence, unit, len, first, step, tiles, slot;
};

// Columns of a unit (in fours) that a block folds, and one of the slots that it folds them from.
struct FoldRecord {
  int32_t block, sequence, unit, index, slot, begin, end;
};

struct Records {
  PieceRecord* pieces;
  FoldRecord* folds;
  int32_t most_pieces, most_folds;
  int32_t piece_count, fold_count;
  int32_t deal;  // 0: one length that the host knows, 1: one on the device, 2: spans, 3: splits
  int32_t grid;
  int32_t keeps;       // K and V may stay in L2
  int32_t paced_from;  // tiles of a warp
  int32_t looks_every;
  float free_lead;
  int32_t blocks;  // that are said to have any tiles
  int64_t all;     // tiles that all warps are said to have
  int32_t* loads;  // of each warp, as it says
};

bool is_first_lane() {
  return threadIdx.x == 0;
}
int32_t this_block() {
  return static_cast<int32_t>(blockIdx.x);
}

template <class Deal>
void record_pieces(const Deal& deal, typename Deal::Cursor cursor, Records* out) {
  Piece piece;
  for (int count = 0; count <= out->most_pieces && cursor.next(piece); ++count) {
    const int slot = piece.len > 0 ? deal.slot(piece) : kNoSlot;
    if (!is_first_lane()) continue;
    if (out->piece_count < out->most_pieces)
      out->pieces[out->piece_count] = {this_block(), piece.sequence, piece.unit,  piece.len,
                                       piece.first,  piece.step,     piece.tiles, slot};
    ++out->piece_count;
  }
}

template <class Deal>
void record_load(const Deal& deal, Records* out) {
  if (!is_first_lane()) return;
  for (int warp = 0; warp < kWarps; ++warp) {
    const Load load = deal.load(warp);
    out->loads[this_block() * kWarps + warp] = load.mine;
    out->all = load.all;
    out->blocks = load.blocks;
  }
}

void record_fold(Records* out, const FoldRecord& fold) {
  if (!is_first_lane()) return;
  if (out->fold_count < out->most_folds) out->folds[out->fold_count] = fold;
  ++out->fold_count;
}

// As CutReader does (native/cuda/tensor/exchange.cuh).
void record_cut(const Piece& piece, const Cut& cut, const Shares& shares, Records* out) {
  const int begin = cut.part << shares.each_log;
  const int end = std::min(begin + (1 << shares.each_log), shares.quads);
  for (int i = 0; i < cut.parts; ++i)
    record_fold(out, {this_block(), piece.sequence, piece.unit, i, cut.slot(i), begin,
                      std::max(begin, end)});
}

void run_even(const Even& even, const Shares& shares, Records* out) {
  record_pieces(even, Even::Cursor(even), out);
  record_load(even, out);
  if (even.reduces()) record_cut(even.piece(-1), even.shared(), shares, out);
}

void run_spans(const Spans& spans, Records* out) {
  const Spans::Cursor first(spans);
  record_pieces(spans, first, out);
  Spans::Cursor cursor = first;
  Piece piece;
  while (cursor.next(piece)) {
    const Cut cut = spans.cut(piece);
    if (cut.parts == 1) continue;
    const int quads = heads_of(spans.p, piece.unit) * static_cast<int>(spans.p.row_quads.value);
    record_cut(piece, cut, share_columns(cut.parts, cut.parts, quads, threads_log()), out);
  }
}

template <class Deal>
void run_splits(const Deal& splits, Records* out) {
  record_pieces(splits, typename Deal::Cursor(splits), out);
  record_load(splits, out);
  for_each_item(splits, first_item(), [&](int, const TreeItem& item) {
    const int begin = item.share << item.each_log;
    const int quads =
        heads_of(splits.p, item.row.unit) * static_cast<int>(splits.p.row_quads.value);
    const int end = std::min(begin + (1 << item.each_log), quads);
    for (int i = 0; i < item.row.count; ++i)
      record_fold(out, {this_block(), item.row.sequence, item.row.unit, i, item.row.slot(i), begin,
                        std::max(begin, end)});
    return true;
  });
}

void run_block(const TensorParams& p, Records* out) {
  const Lengths lengths(p);
  const Survey found = survey(lengths, Quanta(p), lengths.ask());
  if (p.fixed) {
    out->deal = 3;
    return p.page.value > 0 ? run_splits(SplitsDeal<true>(p, found), out)
                            : run_splits(SplitsDeal<false>(p, found), out);
  }
  Even even(p);
  if (found.common > 0) even.take_length(p, found.common);
  if (are_even(p, found, even)) {
    out->deal = 1;
    return run_even(even, share_columns(even.divided, even.parts(), p.slot_quads, threads_log()),
                    out);
  }
  out->deal = 2;
  run_spans(Spans(p, found), out);
}

}  // namespace

extern "C" {

// `lens`: as if on the device, or NULL: `kv_len` for all.
int32_t unit_deal(const flashdec_plan* source, const int32_t* lens, int64_t kv_len, Records* out) {
  return guarded([&] {
    const Plan plan = load_plan(source);
    Operands operands = {};
    operands.kv_len = lens;
    operands.uniform_kv_len = kv_len;
    operands.prepared_workspace = true;
    const Problem& problem = plan.problem;
    operands.k_strides = {0, problem.kv_heads * problem.head_dim, problem.head_dim};
    operands.v_strides = {0, problem.kv_heads * problem.head_dim_v, problem.head_dim_v};
    const Workspace workspace = {};
    const Launch launch = {plan, operands, workspace, nullptr};
    const int heads = static_cast<int>(plan.row().heads);
    const bool cut = may_cut(launch, heads);
    const bool even = is_even(launch, cut, heads);
    EvenParams lean = {};
    if (even) fill_even(launch, cut, lean);
    TensorParams params = even ? TensorParams{} : make_tensor_params(launch, cut);
    aim(launch, params);
    out->grid = static_cast<int32_t>(even ? even_blocks(launch, lean) : plan.schedule.grid);
    out->keeps = even ? lean.keeps : params.keeps;
    out->deal = out->piece_count = out->fold_count = 0;
    out->paced_from = even ? lean.paced_from : params.paced_from;
    out->looks_every = even ? lean.looks_every : params.looks_every;
    out->free_lead = even ? lean.free_lead : params.free_lead;
    out->all = out->blocks = 0;
    const auto blocks = static_cast<unsigned>(out->grid);
    for (unsigned block = 0; block < blocks; ++block) {
      const std::string problem = emulation::run({1, 32, 0, block, blocks}, block, [&] {
        blockDim.x = kThreads;  // a warp stands for all
        if (even) return run_even(Even(lean), lean.shares, out);
        run_block(params, out);
      });
      if (!problem.empty()) refuse(FLASHDEC_INTERNAL_ERROR, "%s", problem.c_str());
    }
  });
}

}  // extern "C"
