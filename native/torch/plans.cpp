#include "torch/plans.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "core/validate.h"
#include "core/workspace.h"
#include "cuda/backend.h"

namespace flashdec::torch {
namespace {

struct Key {
  flashdec_descriptor desc;
  int32_t device;
  uint32_t batch_invariant;
};
static_assert(sizeof(Key) == sizeof(flashdec_descriptor) + 8, "keys compare by their bytes");

struct Entry {
  Key key;  // of zeros, which are no problem, where there is none
  Plan plan;
};

// A key may be in any of the places of its row; each new one takes the next of them in turn.  Not a
// map of the C++ run time, because the library asks nothing of that.
constexpr int kRows = 128, kPlaces = 4;

struct Table {
  Entry entries[kRows][kPlaces];
  uint32_t next[kRows];
};

uint64_t hash_of(const Key& key) {
  uint64_t words[sizeof(Key) / sizeof(uint64_t)];
  std::memcpy(words, &key, sizeof(words));
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a's, over words
  for (uint64_t word : words) {
    hash = (hash ^ word) * 0x100000001b3;
    hash ^= hash >> 32;
  }
  return hash;
}

Plan select(const Key& key) {
  flashdec_preference wishes = {};
  wishes.prefer_backend = key.device < 0 ? FLASHDEC_BACKEND_CPU : FLASHDEC_BACKEND_CUDA;
  wishes.flags = key.batch_invariant != 0 ? FLASHDEC_PREFER_BATCH_INVARIANT : 0;
  Device device = {};
  device.cuda.ordinal = -1;
  if (key.device < 0) {
    device.cpu = cpu_device();
  } else {
    device.cuda = cuda::device_facts(key.device);
  }
  return make_plan(validate(key.desc), validate(wishes), device);
}

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};

}  // namespace

const Plan& plan_for(const flashdec_descriptor& desc, bool batch_invariant, int32_t device) {
  thread_local std::unique_ptr<Table, Freed> table;
  if (table == nullptr) table.reset(static_cast<Table*>(std::calloc(1, sizeof(Table))));
  if (table == nullptr) throw std::bad_alloc();
  const Key key = {desc, device, batch_invariant};
  const uint64_t row = hash_of(key) % kRows;
  for (const Entry& entry : table->entries[row])
    if (std::memcmp(&entry.key, &key, sizeof(key)) == 0) return entry.plan;
  const Plan made = select(key);
  Entry& entry = table->entries[row][table->next[row]++ % kPlaces];
  std::memcpy(static_cast<void*>(&entry.plan), &made, sizeof(made));
  entry.key = key;
  return entry.plan;
}

void* host_scratch(int64_t bytes) {
  thread_local std::unique_ptr<void, Freed> memory;
  thread_local int64_t size = 0;
  if (bytes <= size) return memory.get();
  size = 0;
  memory.reset(std::aligned_alloc(kWorkspaceAlign, round_up(bytes, kWorkspaceAlign)));
  if (memory == nullptr) throw std::bad_alloc();
  size = bytes;
  return memory.get();
}

}  // namespace flashdec::torch
