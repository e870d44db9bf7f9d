// Reading ELF images (elf(5)) from hostile files: everything is checked before it is used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/elf.h"
#include "base/util/error.h"
#include "fs/vfs/file_description.h"
#include "sentry/mm/memory_manager.h"

namespace moat {

struct ElfImage {
  abi::Elf64Ehdr header;
  std::vector<abi::Elf64Phdr> segments;  // all program headers
  std::string interpreter;               // PT_INTERP, or empty
  bool executable_stack = false;
  UserAddr first = 0, end = 0;           // page-aligned span of the PT_LOADs, before the load bias
  uint64_t alignment = 4096;             // the largest PT_LOAD alignment (a power of two)
  bool position_independent() const { return header.e_type == abi::kET_DYN; }
};

// Reads exactly [offset, offset + n) of `file`; kENOEXEC if it is shorter.
ErrorOr<void> ReadFully(FileDescription& file, uint64_t offset, void* out, size_t n);

// Parses the image of a program or interpreter. kENOEXEC for whatever Linux would refuse; kEINVAL if its segments hold no byte.
ErrorOr<ElfImage> ParseElf(FileDescription& file);

struct MappedElf {
  uint64_t bias = 0;
  UserAddr entry = 0;
  UserAddr program_headers = 0;  // AT_PHDR
  UserAddr start_code = 0, end_code = 0, start_data = 0, end_data = 0;
  UserAddr brk = 0;              // the end of the highest segment
};

// Maps the PT_LOADs at `bias` (page aligned; the caller chose it so that the span is free). kENOMEM, kENOEXEC.
ErrorOr<MappedElf> MapElf(MemoryManager& mm, const Ref<FileDescription>& file, const ElfImage& image, uint64_t bias,
                          const MemoryLimits& limits);

}  // namespace moat
