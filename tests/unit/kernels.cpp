// The kernels of native/cuda/tensor/, run on the host (emulation/): behind flashdec_run, as on a
// GPU, from the host's side of a launch to the last block.
#include "emulation/words.h"
// Above: CUDA's words, for what follows.
#include <functional>
#include <unordered_map>

#include "core/status.h"
#include "cuda/backend.h"
#include "cuda/combine/parts.cu"
#include "cuda/copy/tensor_map.cu"
#include "cuda/sm80/launch.cuh"
#include "cuda/sm90/launch.cuh"

namespace flashdec::cuda {
namespace {

using Body = std::function<std::function<void()>(void** arguments)>;

// Kernels by their address: what calls them with the arguments of a launch.
std::unordered_map<const void*, Body> kernels;

struct {
  uint64_t seed;
  bool refuses_together;
  unsigned resident;
  unsigned first;
  unsigned naps;
  int32_t launches;
} settings;

template <class... Args>
void add_kernel(void (*kernel)(Args...)) {
  kernels[reinterpret_cast<const void*>(kernel)] = [kernel](void** arguments) {
    const auto bind = [&](auto&&... index) {
      return std::function<void()>([=] {
        kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<Args>>*>(arguments[index])...);
      });
    };
    if constexpr (sizeof...(Args) == 1) return bind(0);
    if constexpr (sizeof...(Args) == 2) return bind(0, 1);
  };
}

template <class E, class Shape, class Copy, class Places>
void add_one_split() {
  add_kernel(one_split<E, Shape, Copy, Places, NoPace>);
  add_kernel(one_split<E, Shape, Copy, Places, Pace<Shape, Places::kPaged>>);
}

template <class E, class Shape, class Copy>
void add_split_kernels() {
  add_kernel(even_split<E, Shape, Copy, NoPace>);
  add_kernel(lengths_split<E, Shape, Copy, RowPlaces>);
  if constexpr (Copy::kBoxes) {
    add_kernel(even_split<E, Shape, Copy, Pace<Shape, false>>);
    add_one_split<E, Shape, Copy, RowPlaces>();
    add_one_split<E, Shape, Copy, Pages<Shape, Copy>>();
  }
  add_kernel(fixed_split<E, Shape, Copy, RowPlaces>);
  add_kernel(lengths_split<E, Shape, Copy, Pages<Shape, Copy>>);
  add_kernel(fixed_split<E, Shape, Copy, Pages<Shape, Copy>>);
  add_kernel(even_parts<E>);
  add_kernel(parts_or_nodes<E>);
}

template <class E, int kHeadDim, int kHeads>
void run_both(const Launch& launch, bool sm90) {
  if (sm90) {
    using Shape = TmaShape<kHeadDim, kHeads>;
    add_split_kernels<E, Shape, TmaCopy<Shape>>();
    run_sm90<E, kHeadDim, kHeads>(launch);
  } else {
    using Shape = AsyncShape<kHeadDim, kHeads>;
    add_split_kernels<E, Shape, AsyncCopy<Shape>>();
    run_sm80<E, kHeadDim, kHeads>(launch);
  }
}

}  // namespace

bool enqueue(const Start& start, cudaStream_t) {
  const bool fits = settings.resident == 0 || start.shape.blocks <= settings.resident;
  if (start.waits && (settings.refuses_together || (start.together && !fits))) return false;
  ++settings.launches;
  copy_groups.clear();
  const auto blocks = static_cast<unsigned>(start.shape.blocks);
  const emulation::Launch launch = {blocks,
                                    static_cast<unsigned>(start.shape.threads),
                                    static_cast<size_t>(start.shape.smem),
                                    0,
                                    blocks,
                                    settings.resident,
                                    settings.first,
                                    settings.naps};
  const std::string problem = emulation::run(launch, settings.seed + settings.launches,
                                             kernels.at(start.kernel)(start.shape.arguments));
  if (!problem.empty()) refuse(FLASHDEC_INTERNAL_ERROR, "%s", problem.c_str());
  return true;
}

void prepare_workspace(void* workspace, uint64_t bytes, int32_t, CUstream_st*) {
  std::memset(workspace, 0xff, bytes);
}

#define RUN(name, E, head_dim, heads)            \
  void run_sm90_##name(const Launch& launch) {   \
    run_both<E, head_dim, heads>(launch, true);  \
  }                                              \
  void run_sm80_##name(const Launch& launch) {   \
    run_both<E, head_dim, heads>(launch, false); \
  }
RUN(bf16_d128_h8, __nv_bfloat16, 128, 8)
RUN(f16_d64_h16, __half, 64, 16)
RUN(bf16_d192_h8, __nv_bfloat16, 192, 8)
#undef RUN

}  // namespace flashdec::cuda

extern "C" void unit_emulate(uint64_t seed, int32_t refuses_together, uint32_t resident,
                             uint32_t first, uint32_t naps) {
  flashdec::cuda::settings = {seed, refuses_together != 0, resident, first, naps, 0};
}
// How long a warp waits, in thousandths of the time that two tiles took, after it has read two
// tiles and all others together `others`, of 100 tiles for each of the four warps of a block.
extern "C" int32_t unit_wait(int32_t others) {
  using namespace flashdec::cuda;
  using Shape = TmaShape<128, 8>;
  struct Deal {
    EvenParams p;
    Load load(int) const { return {100, 400, 1}; }
  };
  int32_t waited = -1;
  const emulation::Launch one_warp = {1, 32, Shape::kSmem, 0, 1, 0, 0, 0};
  const std::string problem = emulation::run(one_warp, 1, [&] {
    Pace<Shape, false> pace;
    Deal deal{};
    deal.p.looks_every = 2;
    deal.p.free_lead = 0.25f;
    pace.begin(deal);
    const uint32_t begun = pace.state().looked;
    for (int tile = 0; tile < 2; ++tile) {
      if (tile == 1 && threadIdx.x == 0) tiles_read += static_cast<uint32_t>(others);
      __syncwarp();
      const uint32_t seen = pace.ask(deal.p);
      pace.wait();
      pace.count(deal.p, seen);
    }
    longest_stall = 0;
    pace.ask(deal.p);
    pace.wait();
    if (threadIdx.x == 0)
      waited = longest_stall * 1000 / static_cast<int>(pace.state().looked - begun);
  });
  return problem.empty() ? waited : -1;
}
// Of all launches: tiles that paced warps have counted, and how often one has waited for others.
extern "C" void unit_pace(uint32_t* tiles, uint32_t* stalls) {
  *tiles = flashdec::cuda::tiles_read;
  *stalls = flashdec::cuda::stalls / 32;
}
extern "C" int32_t unit_launches() {
  return flashdec::cuda::settings.launches;
}
