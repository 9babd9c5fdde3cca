#include "core/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>

// Defined by the linker: the ELF header of the object that this code is in.
extern "C" const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

namespace flashdec {
namespace {

size_t padded(size_t size) {
  return (size + 3) & ~size_t{3};
}

struct Note {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

Note find_in_segment(const uint8_t* segment, size_t size) {
  for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) header;
    std::memcpy(&header, segment + at, sizeof(header));
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
  const auto* base = reinterpret_cast<const uint8_t*>(&__ehdr_start);
  const auto* segments = reinterpret_cast<const ElfW(Phdr)*>(base + __ehdr_start.e_phoff);
  for (int i = 0; i < __ehdr_start.e_phnum; ++i) {
    if (segments[i].p_type != PT_NOTE) continue;
    const Note note = find_in_segment(base + segments[i].p_vaddr, segments[i].p_memsz);
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
