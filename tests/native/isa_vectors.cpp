// Random decodes on every instruction set that the library and the processor have: o and lse
// against double within the bounds of flashdec.h, rule 7, and the same bits whatever the layout and
// the number of threads.  Memory outside the live tokens is NaN.
//
// Arguments: how many shapes.  Prints the largest error of each instruction set as a fraction of
// its bound.
#include <flashdec.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "exact.h"

namespace {

// ---- the same cache in different places ----

template <class E>
struct Cache {
  const char* name;
  std::vector<E> memory;
  int64_t outer, token, head;  // strides
};

template <class E>
std::vector<E> all_nan(int64_t count) {
  std::vector<E> values(static_cast<size_t>(count));
  std::memset(static_cast<void*>(values.data()), 0xff, values.size() * sizeof(E));
  return values;
}

template <class E>
Cache<E> place(const Shape& s, const std::vector<E>& rows, int64_t dim, const char* name,
               const std::vector<int32_t>& table, bool heads_first, int64_t padding) {
  const bool paged = !table.empty();
  const int64_t row = dim + padding, size = paged ? s.page_size : s.tokens;
  Cache<E> cache = {name, {}, size * s.kv_heads * row, s.kv_heads * row, row};
  if (heads_first) cache.token = row, cache.head = size * row;
  cache.memory = all_nan<E>((paged ? static_cast<int64_t>(table.size()) : s.batch) * cache.outer);
  const int64_t pages = paged ? static_cast<int64_t>(table.size()) / s.batch : 1;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t t = 0; t < s.lengths[b]; ++t)
      for (int64_t g = 0; g < s.kv_heads; ++g) {
        const int64_t outer = paged ? table[b * pages + t / size] : b;
        E* const to = cache.memory.data() + outer * cache.outer + t % size * cache.token;
        std::copy_n(rows.data() + s.row(b, t, g) * dim, dim, to + g * cache.head);
      }
  return cache;
}

// ---- a run ----

void require(int32_t status, const char* what) {
  if (status == FLASHDEC_SUCCESS) return;
  std::fprintf(stderr, "%s: %s\n", what, flashdec_last_error());
  std::exit(1);
}

uint32_t dtype_of(float) {
  return FLASHDEC_FLOAT32;
}
uint32_t dtype_of(F16) {
  return FLASHDEC_FLOAT16;
}
uint32_t dtype_of(Bf16) {
  return FLASHDEC_BFLOAT16;
}

template <class E>
struct Result {
  std::vector<E> o;
  std::vector<float> lse;
  std::string kernel;

  bool operator==(const Result& other) const {
    return std::memcmp(o.data(), other.o.data(), o.size() * sizeof(E)) == 0 &&
           std::memcmp(lse.data(), other.lse.data(), lse.size() * sizeof(float)) == 0;
  }
};

template <class E>
Result<E> decode(const Shape& s, const Data<E>& data, const Cache<E>& k, const Cache<E>& v,
                 const std::vector<int32_t>& table, uint32_t threads) {
  flashdec_descriptor desc = {};
  desc.struct_size = sizeof(desc);
  desc.batch = s.batch;
  desc.q_heads = s.heads();
  desc.kv_heads = s.kv_heads;
  desc.max_kv_len = s.tokens;
  desc.head_dim = s.dim;
  desc.head_dim_v = s.dim_v;
  desc.page_size = table.empty() ? 0 : s.page_size;
  desc.num_pages = static_cast<int64_t>(table.size());
  desc.scale = s.scale;
  desc.q_dtype = desc.kv_dtype = dtype_of(E{});
  desc.alignment = sizeof(E);
  flashdec_preference preference = {};
  preference.struct_size = sizeof(preference);
  preference.prefer_backend = FLASHDEC_BACKEND_CPU;
  preference.num_threads = threads;
  flashdec_plan plan;
  require(flashdec_select(&desc, &preference, nullptr, &plan), "select");
  flashdec_kernel_sku sku = {};
  sku.struct_size = sizeof(sku);
  require(flashdec_sku(&plan, &sku), "sku");

  Result<E> result = {all_nan<E>(s.batch * s.heads() * s.dim_v),
                      all_nan<float>(s.batch * s.heads()), sku.name};
  flashdec_args args = {};
  args.struct_size = sizeof(args);
  args.q = data.q.data();
  args.k = k.memory.data();
  args.v = v.memory.data();
  args.o = result.o.data();
  args.lse = result.lse.data();
  args.kv_len = s.lengths.data();
  args.page_table = table.empty() ? nullptr : table.data();
  args.page_table_stride = static_cast<int64_t>(table.size()) / s.batch;
  args.q_stride_batch = s.heads() * s.dim, args.q_stride_head = s.dim;
  args.k_stride_batch = k.outer, args.k_stride_token = k.token, args.k_stride_head = k.head;
  args.v_stride_batch = v.outer, args.v_stride_token = v.token, args.v_stride_head = v.head;
  args.o_stride_batch = s.heads() * s.dim_v, args.o_stride_head = s.dim_v;
  args.lse_stride_batch = s.heads(), args.lse_stride_head = 1;
  uint64_t bytes, align;
  require(flashdec_workspace_size(&plan, &bytes, &align), "workspace_size");
  std::vector<unsigned char> workspace(bytes + align, 0xff);
  const uintptr_t address = reinterpret_cast<uintptr_t>(workspace.data());
  void* const block = workspace.data() + (align - address % align) % align;
  require(flashdec_run(&plan, &args, block, bytes, nullptr), "run");
  return result;
}

// ---- the checks ----

struct Tally {
  std::string isa;
  int64_t runs = 0;
  double worst = 0, worst_lse = 0;  // fractions of the bound
};

bool fits(double got, double exact, double bound, double* worst) {
  if (!std::isfinite(exact)) return std::isnan(exact) ? std::isnan(got) : got == exact;
  const double error = std::fabs(got - exact);
  if (error <= bound) *worst = std::max(*worst, error / bound);
  return error <= bound;
}

template <class E>
std::string fault(const Result<E>& result, const Exact& exact, Tally* tally) {
  for (size_t i = 0; i < result.o.size(); ++i)
    if (!fits(to_float(result.o[i]), exact.o[i], exact.bound[i], &tally->worst))
      return "o[" + std::to_string(i) + "] is " + std::to_string(to_float(result.o[i])) +
             ", exactly " + std::to_string(exact.o[i]);
  for (size_t i = 0; i < result.lse.size(); ++i)
    if (!fits(result.lse[i], exact.lse[i], exact.lse_bound[i], &tally->worst_lse))
      return "lse[" + std::to_string(i) + "] is " + std::to_string(result.lse[i]) + ", exactly " +
             std::to_string(exact.lse[i]);
  return "";
}

using Random = std::mt19937;

int64_t pick(Random& random, int64_t least, int64_t most) {
  return least + static_cast<int64_t>(random() % static_cast<uint32_t>(most - least + 1));
}

// In (-1, 1), by our own arithmetic: that of <random> differs between libraries.
float uniform(Random& random) {
  return static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
}

Shape random_shape(Random& random) {
  Shape s = {};
  s.batch = pick(random, 1, 3);
  s.kv_heads = pick(random, 1, 3);
  s.group = pick(random, 1, 9);
  s.tokens = random() % 4 == 0 ? pick(random, 257, 600) : pick(random, 1, 80);
  s.dim = random() % 2 == 0 ? 8 * pick(random, 1, 32) : pick(random, 1, 256);
  s.dim_v = random() % 2 == 0 ? s.dim : pick(random, 1, 256);
  s.page_size = pick(random, 1, 20);
  const uint32_t kind = random() % 4;  // scores of a few; of up to hundreds, of both signs
  s.scale = kind == 0 ? 1.0f : kind == 1 ? -4.0f : 0.0f;
  const uint32_t poison = random() % 8;
  s.poison = poison == 0 ? Poison::kKey : poison == 1 ? Poison::kValue : Poison::kNone;
  // Of small scores alone: where p underflows to 0 in float, 0 * Inf is NaN.
  if (poison == 2 && s.scale == 0) s.poison = Poison::kInfiniteValue;
  for (int64_t b = 0; b < s.batch; ++b)
    s.lengths.push_back(static_cast<int32_t>(
        random() % 3 == 0 ? s.tokens : pick(random, random() % 4 == 0 ? 0 : 1, s.tokens)));
  return s;
}

template <class E>
void fill(std::vector<E>* values, int64_t count, Random& random) {
  values->resize(static_cast<size_t>(count));
  for (E& each : *values)
    flashdec::from_float(4 * uniform(random) * uniform(random), &each);
}

template <class E>
void poison_token(std::vector<E>* rows, int64_t dim, float value, const Shape& s, Random& random) {
  if (s.lengths[0] == 0) return;
  const int64_t row = s.row(0, pick(random, 0, s.lengths[0] - 1), pick(random, 0, s.kv_heads - 1));
  flashdec::from_float(value, rows->data() + row * dim + pick(random, 0, dim - 1));
}

std::vector<int32_t> random_table(const Shape& s, Random& random) {
  const int64_t pages = (s.tokens + s.page_size - 1) / s.page_size;
  std::vector<int32_t> table(static_cast<size_t>(s.batch * pages));
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<int32_t>(i);
    std::swap(table[i], table[random() % (i + 1)]);
  }
  return table;
}

template <class E>
struct Place {
  Cache<E> k, v;
  std::vector<int32_t> table;  // empty: contiguous
};

template <class E>
bool check(uint32_t seed, std::vector<Tally>* tallies) {
  Random random(seed);
  const Shape s = random_shape(random);
  Data<E> data;
  fill(&data.q, s.batch * s.heads() * s.dim, random);
  fill(&data.k, s.batch * s.tokens * s.kv_heads * s.dim, random);
  fill(&data.v, s.batch * s.tokens * s.kv_heads * s.dim_v, random);
  if (s.poison == Poison::kKey) poison_token(&data.k, s.dim, NAN, s, random);
  if (s.poison == Poison::kValue) poison_token(&data.v, s.dim_v, NAN, s, random);
  if (s.poison == Poison::kInfiniteValue) poison_token(&data.v, s.dim_v, INFINITY, s, random);
  Exact exact;
  for (int64_t at = 0; at < s.batch * s.heads(); ++at)
    attend_exactly(s, data, at / s.heads(), at % s.heads(), &exact);

  std::vector<Place<E>> places;
  for (const bool paged : {false, true})
    for (const bool heads_first : {false, true}) {
      const char* const name = heads_first ? "heads before tokens" : "tokens before heads";
      const std::vector<int32_t> table = paged ? random_table(s, random) : std::vector<int32_t>();
      places.push_back({place(s, data.k, s.dim, name, table, heads_first, pick(random, 0, 3)),
                        place(s, data.v, s.dim_v, name, table, heads_first, pick(random, 0, 3)),
                        table});
    }

  for (Tally& tally : *tallies) {
    setenv("FLASHDEC_ISA", tally.isa.c_str(), 1);
    Result<E> first;
    for (const Place<E>& each : places)
      for (const uint32_t threads : {1u, 3u}) {
        const Result<E> result = decode(s, data, each.k, each.v, each.table, threads);
        const bool begins = first.kernel.empty();
        if (begins) first = result;
        const std::string why = begins            ? fault(result, exact, &tally)
                                : result == first ? ""
                                                  : "other bits than those of the first run";
        ++tally.runs;
        if (why.empty()) continue;
        std::fprintf(stderr,
                     "seed %u, %s: batch %d, kv_heads %d, group %d, tokens %d, head_dim %d and %d, "
                     "%s%s, %u threads: %s\n",
                     seed, result.kernel.c_str(), int(s.batch), int(s.kv_heads), int(s.group),
                     int(s.tokens), int(s.dim), int(s.dim_v), each.k.name,
                     each.table.empty() ? "" : " in pages", threads, why.c_str());
        return false;
      }
  }
  return true;
}

// Of this build, from the names of its CPU kernels, that the processor has.
std::vector<Tally> instruction_sets() {
  std::vector<Tally> found;
  for (uint32_t i = 0; i < flashdec_kernel_count(); ++i) {
    const std::string name = flashdec_kernel_name(i);
    if (name.rfind("cpu_", 0) != 0 || name.find("_f32") == std::string::npos) continue;
    Tally tally;
    tally.isa = name.substr(4, name.size() - 8);
    setenv("FLASHDEC_ISA", tally.isa.c_str(), 1);
    flashdec_descriptor desc = {};
    desc.struct_size = sizeof(desc);
    desc.batch = desc.q_heads = desc.kv_heads = desc.max_kv_len = desc.head_dim = 1;
    desc.q_dtype = desc.kv_dtype = FLASHDEC_FLOAT32;
    flashdec_preference preference = {};
    preference.struct_size = sizeof(preference);
    preference.prefer_backend = FLASHDEC_BACKEND_CPU;
    flashdec_plan plan;
    const int32_t status = flashdec_select(&desc, &preference, nullptr, &plan);
    if (status == FLASHDEC_UNSUPPORTED) {
      std::printf("%s: left out: %s\n", tally.isa.c_str(), flashdec_last_error());
      continue;
    }
    require(status, "select");
    found.push_back(tally);
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  const uint32_t shapes = argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : 60;
  std::vector<Tally> tallies = instruction_sets();
  bool good = true;
  for (uint32_t seed = 0; good && seed < shapes; ++seed)
    good = seed % 3 == 0   ? check<float>(seed, &tallies)
           : seed % 3 == 1 ? check<F16>(seed, &tallies)
                           : check<Bf16>(seed, &tallies);
  for (const Tally& tally : tallies)
    std::printf("%s: %d runs, o at most %.2f of its bound, lse %.2f\n", tally.isa.c_str(),
                static_cast<int>(tally.runs), tally.worst, tally.worst_lse);
  return good ? 0 : 1;
}
