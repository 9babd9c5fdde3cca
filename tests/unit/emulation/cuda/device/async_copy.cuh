// Copies: what they are to fill is garbage until it is waited for.
#pragma once

#include <deque>
#include <map>
#include <vector>

#include "words.h"

namespace flashdec::cuda {

struct ChunkCopy {
  uint32_t target;
  const char* source;
  int bytes;
};

// Of every thread: the groups on their way, the last one open.
using CopyGroups = std::deque<std::vector<ChunkCopy>>;
inline std::map<std::pair<unsigned, unsigned>, CopyGroups> copy_groups;

inline CopyGroups& my_copies() {
  CopyGroups& mine = copy_groups[{blockIdx.x, threadIdx.x}];
  if (mine.empty()) mine.emplace_back();
  return mine;
}

inline void copy_chunk(uint32_t target, const char* source, int bytes) {
  std::memset(emulation::shared_at(target, 16), 0xff, 16);
  my_copies().back().push_back({target, source, bytes});
}
inline void commit_copies() {
  my_copies().emplace_back();
}
inline void wait_for_copies() {
  CopyGroups& mine = my_copies();
  for (; mine.size() > 2; mine.pop_front())
    for (const ChunkCopy& each : mine.front()) {
      char* target = emulation::shared_at(each.target, 16);
      std::memset(target, 0, 16);
      std::memcpy(target, each.source, static_cast<size_t>(each.bytes));
    }
}

// Of every thread: words on their way.
inline std::map<std::pair<unsigned, unsigned>, int> words_coming;

inline void copy_word(uint32_t target, const void* source) {
  std::memset(emulation::shared_at(target, 4), 0xff, 4);
  uint32_t word = 0;
  std::memcpy(&word, source, 4);
  int& coming = words_coming[{blockIdx.x, threadIdx.x}];
  ++coming;
  emulation::later([target, word, &coming] {
    std::memcpy(emulation::shared_at(target, 4), &word, 4);
    --coming;
  });
}
inline void wait_for_words() {
  const int& coming = words_coming[{blockIdx.x, threadIdx.x}];
  emulation::wait_until([&coming] { return coming == 0; });
}

}  // namespace flashdec::cuda
