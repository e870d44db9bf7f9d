#include "sentry/loader/elf.h"

#include <algorithm>
#include <cstring>

#include "abi/mman.h"
#include "base/kern/io.h"

namespace moat {

namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kPageMask = kPageSize - 1;
constexpr size_t kMaxHeaderBytes = 65536;      // of program headers, as Linux (ELF_MIN_ALIGN rule)
constexpr size_t kMaxInterpreterPath = 4096;   // PATH_MAX
constexpr uint64_t kAddressLimit = 1ull << 47;

uint64_t RoundDown(uint64_t v) { return v & ~kPageMask; }
uint64_t RoundUp(uint64_t v) { return (v + kPageMask) & ~kPageMask; }

ErrorOr<void> CheckHeader(const abi::Elf64Ehdr& h) {
  if (memcmp(h.e_ident, abi::kELFMAG, abi::kSELFMAG) != 0) return kENOEXEC;
  if (h.e_ident[abi::kEI_CLASS] != abi::kELFCLASS64 || h.e_ident[abi::kEI_DATA] != abi::kELFDATA2LSB) return kENOEXEC;
  if (h.e_machine != abi::kEM_X86_64) return kENOEXEC;
  if (h.e_type != abi::kET_EXEC && h.e_type != abi::kET_DYN) return kENOEXEC;
  if (h.e_phentsize != sizeof(abi::Elf64Phdr) || h.e_phnum == 0) return kENOEXEC;
  if (h.e_phnum * sizeof(abi::Elf64Phdr) > kMaxHeaderBytes) return kENOEXEC;
  return {};
}

ErrorOr<void> CheckLoad(const abi::Elf64Phdr& p, ElfImage& image) {
  if (p.p_filesz > p.p_memsz) return kENOEXEC;
  if (p.p_vaddr >= kAddressLimit || p.p_memsz >= kAddressLimit || p.p_vaddr + p.p_memsz > kAddressLimit) return kENOEXEC;
  if (p.p_offset + p.p_filesz < p.p_offset) return kENOEXEC;
  if ((p.p_vaddr & kPageMask) != (p.p_offset & kPageMask)) return kENOEXEC;
  bool power = p.p_align && !(p.p_align & (p.p_align - 1));
  if (power && p.p_align < kAddressLimit) image.alignment = std::max(image.alignment, p.p_align);
  if (image.end == 0) image.first = RoundDown(p.p_vaddr);
  if (RoundDown(p.p_vaddr) < image.first) return kENOEXEC;  // PT_LOADs must rise
  image.end = std::max(image.end, RoundUp(p.p_vaddr + p.p_memsz));
  return {};
}

ErrorOr<std::string> ReadInterpreter(FileDescription& file, const abi::Elf64Phdr& p) {
  if (p.p_filesz < 2 || p.p_filesz > kMaxInterpreterPath) return kENOEXEC;
  std::string path(p.p_filesz, '\0');
  TRY(ReadFully(file, p.p_offset, path.data(), path.size()));
  if (path.back() != '\0') return kENOEXEC;
  path.resize(strlen(path.c_str()));
  return path;
}

int ProtOf(uint32_t flags) {
  return (flags & abi::kPF_R ? static_cast<int>(abi::kPROT_READ) : 0) |
         (flags & abi::kPF_W ? static_cast<int>(abi::kPROT_WRITE) : 0) |
         (flags & abi::kPF_X ? static_cast<int>(abi::kPROT_EXEC) : 0);
}

// The part of a segment behind its file bytes: the rest of the last file page is zeroed, whole pages are anonymous.
ErrorOr<void> MapBss(MemoryManager& mm, const abi::Elf64Phdr& p, uint64_t bias, const MemoryLimits& limits) {
  UserAddr file_end = bias + p.p_vaddr + p.p_filesz;
  UserAddr end = bias + p.p_vaddr + p.p_memsz;
  UserAddr first_page = p.p_filesz ? RoundUp(file_end) : RoundDown(file_end);
  // To the end of the page, not of the segment: ld.so takes its first heap from what is left there.
  if (p.p_filesz && (p.p_flags & abi::kPF_W)) TRY(mm.Zero(file_end, first_page - file_end));
  if (RoundUp(end) <= first_page) return {};
  TRY(mm.Mmap({.addr = first_page,
               .length = RoundUp(end) - first_page,
               .prot = ProtOf(p.p_flags),
               .flags = abi::kMAP_PRIVATE | abi::kMAP_FIXED | abi::kMAP_ANONYMOUS},
              limits));
  return {};
}

}  // namespace

ErrorOr<void> ReadFully(FileDescription& file, uint64_t offset, void* out, size_t n) {
  BufferSink sink({static_cast<std::byte*>(out), n});
  int64_t position = static_cast<int64_t>(offset);
  if (position < 0) return kENOEXEC;
  while (sink.remaining() > 0) {
    if (TRY(file.TryRead(sink, &position, {})) == 0) return kENOEXEC;
  }
  return {};
}

ErrorOr<ElfImage> ParseElf(FileDescription& file) {
  ElfImage image;
  TRY(ReadFully(file, 0, &image.header, sizeof image.header));
  TRY(CheckHeader(image.header));
  image.segments.resize(image.header.e_phnum);
  TRY(ReadFully(file, image.header.e_phoff, image.segments.data(), image.segments.size() * sizeof(abi::Elf64Phdr)));
  for (const abi::Elf64Phdr& p : image.segments) {
    if (p.p_type == abi::kPT_LOAD) {
      TRY(CheckLoad(p, image));
    } else if (p.p_type == abi::kPT_INTERP && image.interpreter.empty()) {
      image.interpreter = TRY(ReadInterpreter(file, p));
    } else if (p.p_type == abi::kPT_GNU_STACK) {
      image.executable_stack = (p.p_flags & abi::kPF_X) != 0;
    }
  }
  if (image.end == 0) return kENOEXEC;
  if (image.end <= image.first) return kEINVAL;  // segments without a byte
  return image;
}

ErrorOr<MappedElf> MapElf(MemoryManager& mm, const Ref<FileDescription>& file, const ElfImage& image, uint64_t bias,
                          const MemoryLimits& limits) {
  MappedElf out{.bias = bias, .entry = bias + image.header.e_entry};
  for (const abi::Elf64Phdr& p : image.segments) {
    if (p.p_type != abi::kPT_LOAD || p.p_memsz == 0) continue;
    UserAddr start = bias + RoundDown(p.p_vaddr);
    if (p.p_filesz) {
      TRY(mm.Mmap({.addr = start,
                   .length = RoundUp(bias + p.p_vaddr + p.p_filesz) - start,
                   .prot = ProtOf(p.p_flags),
                   .flags = abi::kMAP_PRIVATE | abi::kMAP_FIXED,
                   .file = file,
                   .offset = RoundDown(p.p_offset)},
                  limits));
    }
    TRY(MapBss(mm, p, bias, limits));
    UserAddr file_end = bias + p.p_vaddr + p.p_filesz;
    if (p.p_offset <= image.header.e_phoff && image.header.e_phoff < p.p_offset + p.p_filesz) {
      out.program_headers = bias + p.p_vaddr + (image.header.e_phoff - p.p_offset);
    }
    if (p.p_flags & abi::kPF_X) {
      if (!out.start_code) out.start_code = bias + p.p_vaddr;
      out.end_code = std::max(out.end_code, file_end);
    }
    if (p.p_flags & abi::kPF_W) {
      if (!out.start_data) out.start_data = bias + p.p_vaddr;
      out.end_data = std::max(out.end_data, file_end);
    }
    out.brk = std::max(out.brk, bias + p.p_vaddr + p.p_memsz);
  }
  return out;
}

}  // namespace moat
