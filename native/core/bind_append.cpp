#include "core/bind_append.h"

#include <initializer_list>

#include "core/array_checks.h"
#include "core/array_text.h"
#include "core/status.h"

namespace flashdec {
namespace {

enum Operand {
  kK = FLASHDEC_APPEND_OPERAND_K,
  kV = FLASHDEC_APPEND_OPERAND_V,
  kKCache = FLASHDEC_APPEND_OPERAND_K_CACHE,
  kVCache = FLASHDEC_APPEND_OPERAND_V_CACHE,
  kKvLen = FLASHDEC_APPEND_OPERAND_KV_LEN,
  kQ = FLASHDEC_APPEND_OPERAND_Q,
  kQOut = FLASHDEC_APPEND_OPERAND_Q_OUT,
  kCos = FLASHDEC_APPEND_OPERAND_COS,
  kSin = FLASHDEC_APPEND_OPERAND_SIN,
  kPositions = FLASHDEC_APPEND_OPERAND_POSITIONS,
  kNewLen = FLASHDEC_APPEND_OPERAND_NEW_LEN,
  kPageTable = FLASHDEC_APPEND_OPERAND_PAGE_TABLE,
  kStatus = FLASHDEC_APPEND_OPERAND_STATUS,
};

enum class Kind { kRows, kCache, kAngles, kWords };  // rows: of new tokens

struct Fact {
  const char* name;
  Kind kind;
  int32_t least_ndim;
  int32_t most_ndim;
  bool required;
  bool written;
};

constexpr Fact kFacts[FLASHDEC_APPEND_OPERAND_COUNT] = {
    {"k", Kind::kRows, 3, 4, true, false},         {"v", Kind::kRows, 3, 4, true, false},
    {"k_cache", Kind::kCache, 4, 4, true, true},   {"v_cache", Kind::kCache, 4, 4, true, true},
    {"kv_len", Kind::kWords, 1, 1, false, false},  {"q", Kind::kRows, 3, 4, false, false},
    {"q_out", Kind::kRows, 3, 4, false, true},     {"cos", Kind::kAngles, 2, 2, false, false},
    {"sin", Kind::kAngles, 2, 2, false, false},    {"positions", Kind::kWords, 1, 1, false, false},
    {"new_len", Kind::kWords, 1, 1, false, false}, {"page_table", Kind::kWords, 2, 2, false, false},
    {"status", Kind::kWords, 1, 1, false, true},
};

void check_word(const Fact& fact, const Array& x, bool unsigned_too) {
  constexpr uint32_t kInt = 0, kUint = 1;  // DLDataTypeCode
  const bool right =
      x.type_bits == 32 && (x.type_code == kInt || (unsigned_too && x.type_code == kUint));
  if (!right)
    refuse(FLASHDEC_INVALID_VALUE, "%s has elements of type %s; it must be %s", fact.name,
           type_name(x).text, unsigned_too ? "int32 or uint32" : "int32");
}

void check_type(const Fact& fact, const Array& x, const Array& k) {
  check_float(fact.name, x);
  const bool may_be_single = fact.kind == Kind::kAngles;
  if (x.dtype == k.dtype || (may_be_single && x.dtype == FLASHDEC_FLOAT32)) return;
  refuse(FLASHDEC_INVALID_VALUE, "%s has elements of type %s and k %s; they must be the same%s",
         fact.name, type_name(x).text, type_name(k).text, may_be_single ? ", or float32" : "");
}

// What is wrong with one array, beside k.
void check_array(const Fact& fact, const Array& x, const Array& k) {
  check_ndim(fact.name, x, fact.least_ndim, fact.most_ndim);
  if (fact.kind == Kind::kWords) {
    check_word(fact, x, fact.written);
  } else {
    check_type(fact, x, k);
  }
  check_filled(fact.name, x);
  check_packed(fact.name, x);
  if (fact.written) check_writable(fact.name, x);
  check_memory(fact.name, x);
  check_beside(fact.name, x, "k", k);
}

template <int kCount>
void check_shape(int operand, const Array* x, const int64_t (&wanted)[kCount]) {
  if (x != nullptr) flashdec::check_shape(kFacts[operand].name, *x, wanted, kCount);
}

// Rows of new tokens, with the axis of tokens or, where k has one token for each sequence, without.
void check_rows(int operand, const Array* x, const flashdec_append_args& a, int64_t heads,
                int64_t row) {
  if (x == nullptr) return;
  if (x->ndim == 3 && a.tokens == 1) return check_shape(operand, x, {a.batch, heads, row});
  check_shape(operand, x, {a.batch, a.tokens, heads, row});
}

void check_cache(int operand, const Array& x, uint32_t axes, int64_t blocks, int64_t tokens,
                 int64_t heads, int64_t row) {
  if (axes == FLASHDEC_AXES_BSHD) return check_shape(operand, &x, {blocks, tokens, heads, row});
  check_shape(operand, &x, {blocks, heads, tokens, row});
}

void* data_of(const Array* x) {
  return x != nullptr ? x->data : nullptr;
}

template <class Word>
Word* words_of(const Array* x) {
  return static_cast<Word*>(data_of(x));
}

void take_rows(const Array* x, int64_t* batch, int64_t* token, int64_t* head) {
  if (x == nullptr) return;
  *batch = x->strides[0];
  *token = x->ndim == 4 ? x->strides[1] : 0;
  *head = x->strides[x->ndim - 2];
}

// The sizes that k, v and the cache give.
void take_sizes(uint32_t axes, const AppendArrays& arrays, flashdec_append_args* a) {
  const Array &k = *arrays.of[kK], &v = *arrays.of[kV], &cache = *arrays.of[kKCache];
  const Array *table = arrays.of[kPageTable], *q = arrays.of[kQ], *cos = arrays.of[kCos];
  const int64_t slots = cache.shape[axes == FLASHDEC_AXES_BSHD ? 1 : 2];
  a->dtype = k.dtype;
  a->batch = k.shape[0];
  a->tokens = k.ndim == 4 ? k.shape[1] : 1;
  a->kv_heads = k.shape[k.ndim - 2];
  a->head_dim = k.shape[k.ndim - 1];
  a->head_dim_v = v.shape[v.ndim - 1];
  a->q_heads = q != nullptr ? q->shape[q->ndim - 2] : 0;
  a->page_size = table != nullptr ? slots : 0;
  a->num_pages = table != nullptr ? cache.shape[0] : 0;
  a->max_kv_len = table != nullptr ? slots * table->shape[1] : slots;
  if (cos == nullptr) return;
  a->rotary_dtype = cos->dtype;
  a->max_position = cos->shape[0];
  a->rotary_dim = 2 * cos->shape[1];
}

void check_shapes(uint32_t axes, const AppendArrays& arrays, const flashdec_append_args& a) {
  const auto& x = arrays.of;
  const int64_t blocks = x[kPageTable] != nullptr ? a.num_pages : a.batch;
  const int64_t slots = x[kKCache]->shape[axes == FLASHDEC_AXES_BSHD ? 1 : 2];
  check_rows(kV, x[kV], a, a.kv_heads, a.head_dim_v);
  check_rows(kQ, x[kQ], a, a.q_heads, a.head_dim);
  check_rows(kQOut, x[kQOut], a, a.q_heads, a.head_dim);
  check_cache(kKCache, *x[kKCache], axes, blocks, slots, a.kv_heads, a.head_dim);
  check_cache(kVCache, *x[kVCache], axes, blocks, slots, a.kv_heads, a.head_dim_v);
  for (const int words : {kKvLen, kPositions, kNewLen})
    check_shape(words, x[words], {a.batch});
  check_shape(kStatus, x[kStatus], {int64_t{1}});
  if (x[kPageTable] != nullptr)
    check_shape(kPageTable, x[kPageTable], {a.batch, x[kPageTable]->shape[1]});
  if ((x[kCos] == nullptr) != (x[kSin] == nullptr))
    refuse(FLASHDEC_INVALID_VALUE, "%s is missing; both are needed",
           x[kCos] == nullptr ? "cos" : "sin");
  if (x[kCos] == nullptr) return;
  if (a.rotary_dim > a.head_dim)
    refuse(
        FLASHDEC_INVALID_VALUE,
        "cos has %lld columns, one for each pair of elements; rows of k have %lld elements, so it "
        "must have at most %lld",
        static_cast<long long>(x[kCos]->shape[1]), static_cast<long long>(a.head_dim),
        static_cast<long long>(a.head_dim / 2));
  check_shape(kSin, x[kSin], {x[kCos]->shape[0], x[kCos]->shape[1]});
  if (x[kSin]->dtype != x[kCos]->dtype)
    refuse(FLASHDEC_INVALID_VALUE, "sin has elements of type %s and cos %s; they must be the same",
           type_name(*x[kSin]).text, type_name(*x[kCos]).text);
}

void take_pointers(const AppendArrays& arrays, uint32_t axes, flashdec_append_args* a) {
  const auto& x = arrays.of;
  const int token = axes == FLASHDEC_AXES_BSHD ? 1 : 2;
  a->q = data_of(x[kQ]);
  a->q_out = data_of(x[kQOut]);
  a->k = data_of(x[kK]);
  a->v = data_of(x[kV]);
  a->k_cache = data_of(x[kKCache]);
  a->v_cache = data_of(x[kVCache]);
  a->kv_len = words_of<int32_t>(x[kKvLen]);
  a->new_len = words_of<int32_t>(x[kNewLen]);
  a->positions = words_of<int32_t>(x[kPositions]);
  a->page_table = words_of<int32_t>(x[kPageTable]);
  a->cos = data_of(x[kCos]);
  a->sin = data_of(x[kSin]);
  a->status = words_of<uint32_t>(x[kStatus]);
  take_rows(x[kQ], &a->q_stride_batch, &a->q_stride_token, &a->q_stride_head);
  take_rows(x[kQOut], &a->q_out_stride_batch, &a->q_out_stride_token, &a->q_out_stride_head);
  take_rows(x[kK], &a->k_stride_batch, &a->k_stride_token, &a->k_stride_head);
  take_rows(x[kV], &a->v_stride_batch, &a->v_stride_token, &a->v_stride_head);
  a->k_cache_stride_batch = x[kKCache]->strides[0];
  a->k_cache_stride_token = x[kKCache]->strides[token];
  a->k_cache_stride_head = x[kKCache]->strides[3 - token];
  a->v_cache_stride_batch = x[kVCache]->strides[0];
  a->v_cache_stride_token = x[kVCache]->strides[token];
  a->v_cache_stride_head = x[kVCache]->strides[3 - token];
  a->page_table_stride = x[kPageTable] != nullptr ? x[kPageTable]->strides[0] : 0;
  a->cos_stride = x[kCos] != nullptr ? x[kCos]->strides[0] : 0;
  a->sin_stride = x[kSin] != nullptr ? x[kSin]->strides[0] : 0;
}

}  // namespace

const char* append_operand_name(int operand) {
  return kFacts[operand].name;
}

void bind_append(uint32_t axes, const AppendArrays& arrays, flashdec_append_args* args) {
  if (axes != FLASHDEC_AXES_BSHD && axes != FLASHDEC_AXES_BHSD)
    refuse(FLASHDEC_INVALID_VALUE, "axes is %u; it must be FLASHDEC_AXES_BSHD (1) or BHSD (2)",
           axes);
  for (int i = 0; i < FLASHDEC_APPEND_OPERAND_COUNT; ++i) {
    if (arrays.of[i] != nullptr) {
      check_array(kFacts[i], *arrays.of[i], *arrays.of[kK]);
    } else if (kFacts[i].required) {
      refuse(FLASHDEC_NULL_POINTER, "%s is missing; it is required", kFacts[i].name);
    }
  }
  const Array& k = *arrays.of[kK];
  const bool grows = (args->flags & FLASHDEC_APPEND_ADVANCE) != 0;
  if (grows && arrays.of[kKvLen] != nullptr) check_writable("kv_len", *arrays.of[kKvLen]);
  const int32_t device = checked_cuda_device("k", k);
  args->backend = device >= 0 ? FLASHDEC_BACKEND_CUDA : FLASHDEC_BACKEND_CPU;
  args->device = device >= 0 ? device : 0;
  take_sizes(axes, arrays, args);
  check_shapes(axes, arrays, *args);
  take_pointers(arrays, axes, args);
}

}  // namespace flashdec
