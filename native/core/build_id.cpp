#include "core/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>

// Defined by the linker: the bytes of the object that this code is in, of which the ELF header is
// the first.  An array without a bound: as one header it would end before what is read here.
extern "C" const uint8_t __ehdr_start[] __attribute__((visibility("hidden")));

namespace flashdec {
namespace {

template <class T>
T read(const uint8_t* address) {
  T value;
  std::memcpy(&value, address, sizeof(value));
  return value;
}

size_t padded(size_t size) {
  return (size + 3) & ~size_t{3};
}

struct Note {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

Note find_in_segment(const uint8_t* segment, size_t size) {
  for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    const auto header = read<ElfW(Nhdr)>(segment + at);
    const uint8_t* name = segment + at + sizeof(header);
    const uint8_t* data = name + padded(header.n_namesz);
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
        std::memcmp(name, "GNU", 4) == 0)
      return {data, header.n_descsz};
    at += sizeof(header) + padded(header.n_namesz) + padded(header.n_descsz);
  }
  return {};
}

Note find_note() {
  const auto header = read<ElfW(Ehdr)>(__ehdr_start);
  for (int i = 0; i < header.e_phnum; ++i) {
    const auto segment = read<ElfW(Phdr)>(__ehdr_start + header.e_phoff + i * sizeof(ElfW(Phdr)));
    if (segment.p_type != PT_NOTE) continue;
    const Note note = find_in_segment(__ehdr_start + segment.p_vaddr, segment.p_memsz);
    if (note.data != nullptr) return note;
  }
  return {};
}

BuildId find_build_id() {
  const Note note = find_note();
  BuildId id = {};
  if (note.data != nullptr)
    std::memcpy(id.bytes, note.data, note.size < sizeof(id) ? note.size : sizeof(id));
  return id;
}

}  // namespace

const BuildId& build_id() {
  static const BuildId id = find_build_id();
  return id;
}

}  // namespace flashdec
