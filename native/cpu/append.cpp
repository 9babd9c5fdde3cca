#include "cpu/append.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/convert.h"
#include "core/device.h"
#include "cpu/float_mode.h"
#include "cpu/threads.h"

namespace flashdec::cpu {
namespace {

constexpr int64_t kBytesOfItem = 256 * 1024;  // moving this much takes as long as waking a thread

// The new tokens of a sequence, and the first fault that is found, pages included.
Growth look(const Append& a, int64_t sequence) {
  Growth g = growth_of(a, sequence);
  if (g.fault != 0 || g.count == 0 || a.page_size == 0) return g;
  const int32_t* table = a.page_table + sequence * a.page_table_stride;
  for (int64_t i = g.len / a.page_size; i <= (g.len + g.count - 1) / a.page_size; ++i)
    if (!is_page(a, table[i])) g.fault = FLASHDEC_FAULT_PAGE;
  return g;
}

int64_t offset_of(const Strides& strides, int64_t batch, int64_t token, int64_t head) {
  return batch * strides.batch + token * strides.token + head * strides.head;
}

// cos and sin of a position, as float32.
template <class E>
class Turn {
 public:
  Turn(const Append& a, int64_t position)
      : single_(a.rotary_element == FLASHDEC_FLOAT32),
        cos_(at(a.cos, position * a.cos_stride)),
        sin_(at(a.sin, position * a.sin_stride)) {}

  float cos(int64_t pair) const { return load(cos_, pair); }
  float sin(int64_t pair) const { return load(sin_, pair); }

 private:
  const void* at(const void* table, int64_t element) const {
    if (single_) return static_cast<const float*>(table) + element;
    return static_cast<const E*>(table) + element;
  }
  float load(const void* row, int64_t pair) const {
    return single_ ? static_cast<const float*>(row)[pair]
                   : to_float(static_cast<const E*>(row)[pair]);
  }

  bool single_;
  const void* cos_;
  const void* sin_;
};

template <class E>
void move_rotated(const Append& a, int64_t position, const E* source, E* target) {
  const int64_t pairs = a.rotary_dim / 2;
  if (pairs > 0) {
    const Turn<E> turn(a, position);
    const int64_t step = a.interleaved ? 2 : 1, apart = a.interleaved ? 1 : pairs;
    for (int64_t i = 0; i < pairs; ++i) {
      const float x = to_float(source[i * step]), y = to_float(source[i * step + apart]);
      const float c = turn.cos(i), s = turn.sin(i);
      from_float(x * c - y * s, target + i * step);
      from_float(y * c + x * s, target + i * step + apart);
    }
  }
  if (source != target)
    std::copy(source + a.rotary_dim, source + a.head_dim, target + a.rotary_dim);
}

template <class E>
void append_token(const Append& a, const Growth& g, int64_t sequence, int64_t token) {
  const int64_t position = g.position + token;
  const E *q = static_cast<const E*>(a.q), *k = static_cast<const E*>(a.k),
          *v = static_cast<const E*>(a.v);
  for (int64_t head = 0; head < a.q_heads; ++head)
    move_rotated(a, position, q + offset_of(a.q_strides, sequence, token, head),
                 static_cast<E*>(a.q_out) + offset_of(a.q_out_strides, sequence, token, head));
  int64_t block = sequence, slot = g.len + token;
  if (a.page_size != 0) {
    block = a.page_table[sequence * a.page_table_stride + slot / a.page_size];
    slot %= a.page_size;
  }
  for (int64_t head = 0; head < a.kv_heads; ++head) {
    move_rotated(a, position, k + offset_of(a.k_strides, sequence, token, head),
                 static_cast<E*>(a.k_cache) + offset_of(a.k_cache_strides, block, slot, head));
    const E* row = v + offset_of(a.v_strides, sequence, token, head);
    std::copy(row, row + a.head_dim_v,
              static_cast<E*>(a.v_cache) + offset_of(a.v_cache_strides, block, slot, head));
  }
}

template <class E>
void poison_token(const Append& a, int64_t sequence, int64_t token) {
  E nan;
  from_float(NAN, &nan);
  for (int64_t head = 0; head < a.q_heads; ++head)
    std::fill_n(static_cast<E*>(a.q_out) + offset_of(a.q_out_strides, sequence, token, head),
                a.head_dim, nan);
}

struct Job {
  const Append& a;
  int64_t tokens;  // of an item
  int64_t chunks;  // of a sequence
};

// Item i: some of the tokens of a sequence.
template <class E>
void do_item(const void* context, int64_t index, int64_t) {
  const DefaultFloatMode mode;
  const Job& job = *static_cast<const Job*>(context);
  const Append& a = job.a;
  const int64_t sequence = index / job.chunks, chunk = index % job.chunks;
  const int64_t first = chunk * job.tokens, end = std::min(first + job.tokens, a.tokens);
  const Growth g = look(a, sequence);
  if (g.fault != 0 && a.status != nullptr) __atomic_fetch_or(a.status, g.fault, __ATOMIC_RELAXED);
  for (int64_t token = first; token < end; ++token) {
    if (g.fault != 0) {
      poison_token<E>(a, sequence, token);
    } else if (token < g.count) {
      append_token<E>(a, g, sequence, token);
    }
  }
}

ItemFunction item_of(Dtype element) {
  switch (element) {
    case FLASHDEC_FLOAT16:
      return do_item<F16>;
    case FLASHDEC_BFLOAT16:
      return do_item<Bf16>;
    default:
      return do_item<float>;
  }
}

void advance(const Append& a) {
  for (int64_t sequence = 0; sequence < a.batch; ++sequence) {
    const Growth g = look(a, sequence);
    if (g.fault == 0) a.kv_len[sequence] += static_cast<int32_t>(g.count);
  }
}

}  // namespace

void append(const Append& a) {
  if (a.check_contents) validate_contents(a);
  const int64_t elements = (a.q_heads + a.kv_heads) * a.head_dim + a.kv_heads * a.head_dim_v;
  const int64_t bytes = elements * element_size(a.element);
  const int64_t tokens = std::clamp<int64_t>(kBytesOfItem / bytes, 1, a.tokens);
  const Job job = {a, tokens, ceil_div(a.tokens, tokens)};
  const uint32_t threads = a.num_threads != 0 ? a.num_threads : cpu_threads();
  const bool small = a.batch * a.tokens * bytes <= kBytesOfItem;
  parallel_for(small ? 1 : threads, a.batch * job.chunks, item_of(a.element), &job);
  if (a.advance) advance(a);
}

}  // namespace flashdec::cpu
