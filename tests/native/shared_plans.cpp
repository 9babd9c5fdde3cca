// Callers that share plans: every result has the bits of a run alone, whoever has the library's
// threads.  For sanitizers as well: here callers and library are compiled alike, where Python is
// not. Argument: calls of each caller; 300 without one.
#include <flashdec.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace {

constexpr int kCallers = 4, kCalls = 300;
constexpr int64_t kBatch = 3, kQHeads = 4, kKvHeads = 2, kDim = 64;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s: %s\n", what, flashdec_last_error());
  std::exit(1);
}

std::vector<float> numbers(int64_t count, uint32_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(seed >> 8) / (1 << 23) - 1.0f;
  }
  return values;
}

struct Shape {
  int64_t tokens;
  int64_t page_size;  // 0: no pages
  int64_t split_len;
  int64_t splits;
};

// Each is large enough for the library's threads.
constexpr Shape kShapes[] = {
    {320, 0, 320, 1},
    {640, 0, 64, 10},
    {320, 16, 160, 2},
};

// What one caller writes to, each array of exactly its size; the workspace is left as it comes.
struct Outputs {
  std::vector<float> o, lse;
  std::unique_ptr<void, void (*)(void*)> workspace{nullptr, std::free};
  uint64_t bytes = 0;

  explicit Outputs(const flashdec_plan& plan) : o(kBatch * kQHeads * kDim), lse(kBatch * kQHeads) {
    uint64_t align = 0;
    require(flashdec_workspace_size(&plan, &bytes, &align) == FLASHDEC_SUCCESS, "workspace_size");
    void* block = nullptr;
    require(bytes == 0 || posix_memalign(&block, align, bytes) == 0, "no memory");
    workspace.reset(block);
  }

  bool operator==(const Outputs& other) const {
    return std::memcmp(o.data(), other.o.data(), o.size() * sizeof(float)) == 0 &&
           std::memcmp(lse.data(), other.lse.data(), lse.size() * sizeof(float)) == 0;
  }
};

// A plan, the inputs that all callers read, and the result of a run alone.
class Scene {
 public:
  explicit Scene(const Shape& shape)
      : shape_(shape),
        plan_(select(shape)),
        q_(numbers(kBatch * kQHeads * kDim, 1)),
        k_(numbers(kBatch * shape.tokens * kKvHeads * kDim, 2)),
        v_(numbers(kBatch * shape.tokens * kKvHeads * kDim, 3)),
        kv_len_{static_cast<int32_t>(shape.tokens), 0, static_cast<int32_t>(shape.tokens - 23)},
        want_(plan_) {
    for (int64_t i = pages() - 1; i >= 0; --i)
      page_table_.push_back(static_cast<int32_t>(i));
    run(want_);
  }

  const flashdec_plan& plan() const { return plan_; }

  bool is_right(Outputs& outputs) const {
    std::fill(outputs.o.begin(), outputs.o.end(), 7.0f);
    std::fill(outputs.lse.begin(), outputs.lse.end(), 7.0f);
    run(outputs);
    return outputs == want_;
  }

 private:
  static flashdec_plan select(const Shape& shape) {
    flashdec_descriptor desc = {};
    desc.struct_size = sizeof desc;
    desc.batch = kBatch;
    desc.q_heads = kQHeads;
    desc.kv_heads = kKvHeads;
    desc.max_kv_len = shape.tokens;
    desc.head_dim = kDim;
    desc.page_size = shape.page_size;
    desc.num_pages = shape.page_size > 0 ? kBatch * shape.tokens / shape.page_size : 0;
    desc.q_dtype = desc.kv_dtype = FLASHDEC_FLOAT32;
    flashdec_preference preference = {};
    preference.struct_size = sizeof preference;
    preference.prefer_backend = FLASHDEC_BACKEND_CPU;
    preference.split_len = shape.split_len;
    preference.num_threads = 3;
    flashdec_plan plan;
    require(flashdec_select(&desc, &preference, nullptr, &plan) == FLASHDEC_SUCCESS, "select");
    flashdec_plan_facts facts = {};
    facts.struct_size = sizeof facts;
    require(flashdec_plan_info(&plan, &facts) == FLASHDEC_SUCCESS, "plan_info");
    require(facts.max_splits == shape.splits && facts.num_threads == 3, "another plan than meant");
    return plan;
  }

  int64_t pages() const {
    return shape_.page_size > 0 ? kBatch * shape_.tokens / shape_.page_size : 0;
  }

  void run(Outputs& outputs) const {
    flashdec_args args = {};
    args.struct_size = sizeof args;
    args.q = q_.data();
    args.k = k_.data();
    args.v = v_.data();
    args.o = outputs.o.data();
    args.lse = outputs.lse.data();
    args.kv_len = kv_len_;
    args.page_table = pages() > 0 ? page_table_.data() : nullptr;
    args.page_table_stride = pages() / kBatch;
    args.q_stride_batch = args.o_stride_batch = kQHeads * kDim;
    args.q_stride_head = args.o_stride_head = kDim;
    args.k_stride_token = args.v_stride_token = kKvHeads * kDim;
    args.k_stride_head = args.v_stride_head = kDim;
    args.k_stride_batch = args.v_stride_batch =
        (pages() > 0 ? shape_.page_size : shape_.tokens) * kKvHeads * kDim;
    args.lse_stride_batch = kQHeads;
    args.lse_stride_head = 1;
    require(flashdec_run(&plan_, &args, outputs.workspace.get(), outputs.bytes, nullptr) ==
                FLASHDEC_SUCCESS,
            "run");
  }

  Shape shape_;
  flashdec_plan plan_;
  std::vector<float> q_, k_, v_;
  int32_t kv_len_[kBatch];
  std::vector<int32_t> page_table_;
  Outputs want_;
};

// A caller takes the plans in turn, and begins with another one than its neighbour.
int wrong_results(const std::vector<std::unique_ptr<Scene>>& scenes, int caller, int calls) {
  std::vector<Outputs> outputs;
  for (const auto& scene : scenes)
    outputs.emplace_back(scene->plan());
  int wrong = 0;
  for (int call = 0; call < calls; ++call) {
    const size_t turn = static_cast<size_t>(caller + call) % scenes.size();
    if (!scenes[turn]->is_right(outputs[turn])) ++wrong;
  }
  return wrong;
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc > 1 ? std::atoi(argv[1]) : kCalls;
  std::vector<std::unique_ptr<Scene>> scenes;
  for (const Shape& shape : kShapes)
    scenes.push_back(std::make_unique<Scene>(shape));
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller)
    callers.emplace_back([&, caller] { wrong += wrong_results(scenes, caller, calls); });
  for (std::thread& caller : callers)
    caller.join();
  std::printf("%d of %d results are wrong\n", wrong.load(), kCallers * calls);
  return wrong == 0 ? 0 : 1;
}
