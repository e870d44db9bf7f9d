// The 64-bit ELF format (elf(5)): headers, notes, and the records of a core dump.
#pragma once

#include <stdint.h>

#include "abi/regs.h"
#include "abi/time.h"

namespace moat::abi {

// e_ident.
inline constexpr int kEI_MAG0 = 0;
inline constexpr int kEI_MAG1 = 1;
inline constexpr int kEI_MAG2 = 2;
inline constexpr int kEI_MAG3 = 3;
inline constexpr int kEI_CLASS = 4;
inline constexpr int kEI_DATA = 5;
inline constexpr int kEI_VERSION = 6;
inline constexpr int kEI_OSABI = 7;
inline constexpr int kEI_ABIVERSION = 8;
inline constexpr int kEI_NIDENT = 16;
inline constexpr uint8_t kELFMAG0 = 0x7f;
inline constexpr uint8_t kELFMAG1 = 0x45;
inline constexpr uint8_t kELFMAG2 = 0x4c;
inline constexpr uint8_t kELFMAG3 = 0x46;
inline constexpr uint8_t kELFCLASSNONE = 0;
inline constexpr uint8_t kELFCLASS32 = 1;
inline constexpr uint8_t kELFCLASS64 = 2;
inline constexpr uint8_t kELFDATANONE = 0;
inline constexpr uint8_t kELFDATA2LSB = 1;
inline constexpr uint8_t kELFDATA2MSB = 2;
inline constexpr uint8_t kEV_NONE = 0;
inline constexpr uint8_t kEV_CURRENT = 1;
inline constexpr uint8_t kELFOSABI_NONE = 0;
inline constexpr uint8_t kELFOSABI_SYSV = 0;
inline constexpr uint8_t kELFOSABI_LINUX = 3;
inline constexpr uint8_t kELFOSABI_GNU = 3;
inline constexpr char kELFMAG[] = "\177ELF";
inline constexpr uint64_t kSELFMAG = 4;

inline constexpr uint16_t kET_NONE = 0;
inline constexpr uint16_t kET_REL = 1;
inline constexpr uint16_t kET_EXEC = 2;
inline constexpr uint16_t kET_DYN = 3;
inline constexpr uint16_t kET_CORE = 4;
inline constexpr uint16_t kEM_NONE = 0;
inline constexpr uint16_t kEM_386 = 3;
inline constexpr uint16_t kEM_X86_64 = 62;
inline constexpr uint16_t kEM_AARCH64 = 183;
inline constexpr uint32_t kPT_NULL = 0x0;
inline constexpr uint32_t kPT_LOAD = 0x1;
inline constexpr uint32_t kPT_DYNAMIC = 0x2;
inline constexpr uint32_t kPT_INTERP = 0x3;
inline constexpr uint32_t kPT_NOTE = 0x4;
inline constexpr uint32_t kPT_SHLIB = 0x5;
inline constexpr uint32_t kPT_PHDR = 0x6;
inline constexpr uint32_t kPT_TLS = 0x7;
inline constexpr uint32_t kPT_LOOS = 0x60000000;
inline constexpr uint32_t kPT_HIOS = 0x6fffffff;
inline constexpr uint32_t kPT_LOPROC = 0x70000000;
inline constexpr uint32_t kPT_HIPROC = 0x7fffffff;
inline constexpr uint32_t kPT_GNU_EH_FRAME = 0x6474e550;
inline constexpr uint32_t kPT_GNU_STACK = 0x6474e551;
inline constexpr uint32_t kPT_GNU_RELRO = 0x6474e552;
inline constexpr uint32_t kPT_GNU_PROPERTY = 0x6474e553;
inline constexpr uint32_t kPF_X = 0x1;
inline constexpr uint32_t kPF_W = 0x2;
inline constexpr uint32_t kPF_R = 0x4;
inline constexpr uint16_t kPN_XNUM = 0xffff;
inline constexpr uint32_t kSHT_NULL = 0;
inline constexpr uint32_t kSHT_PROGBITS = 1;
inline constexpr uint32_t kSHT_SYMTAB = 2;
inline constexpr uint32_t kSHT_STRTAB = 3;
inline constexpr uint32_t kSHT_RELA = 4;
inline constexpr uint32_t kSHT_HASH = 5;
inline constexpr uint32_t kSHT_DYNAMIC = 6;
inline constexpr uint32_t kSHT_NOTE = 7;
inline constexpr uint32_t kSHT_NOBITS = 8;
inline constexpr uint32_t kSHT_REL = 9;
inline constexpr uint32_t kSHT_SHLIB = 10;
inline constexpr uint32_t kSHT_DYNSYM = 11;
inline constexpr uint32_t kSHT_INIT_ARRAY = 14;
inline constexpr uint32_t kSHT_FINI_ARRAY = 15;
inline constexpr uint64_t kSHF_WRITE = 0x1;
inline constexpr uint64_t kSHF_ALLOC = 0x2;
inline constexpr uint64_t kSHF_EXECINSTR = 0x4;
inline constexpr uint64_t kSHF_MERGE = 0x10;
inline constexpr uint64_t kSHF_STRINGS = 0x20;
inline constexpr uint64_t kSHF_TLS = 0x400;
inline constexpr uint16_t kSHN_UNDEF = 0x0;
inline constexpr uint16_t kSHN_ABS = 0xfff1;
inline constexpr uint16_t kSHN_COMMON = 0xfff2;
inline constexpr int64_t kDT_NULL = 0x0;
inline constexpr int64_t kDT_NEEDED = 0x1;
inline constexpr int64_t kDT_PLTRELSZ = 0x2;
inline constexpr int64_t kDT_PLTGOT = 0x3;
inline constexpr int64_t kDT_HASH = 0x4;
inline constexpr int64_t kDT_STRTAB = 0x5;
inline constexpr int64_t kDT_SYMTAB = 0x6;
inline constexpr int64_t kDT_RELA = 0x7;
inline constexpr int64_t kDT_RELASZ = 0x8;
inline constexpr int64_t kDT_RELAENT = 0x9;
inline constexpr int64_t kDT_STRSZ = 0xa;
inline constexpr int64_t kDT_SYMENT = 0xb;
inline constexpr int64_t kDT_INIT = 0xc;
inline constexpr int64_t kDT_FINI = 0xd;
inline constexpr int64_t kDT_SONAME = 0xe;
inline constexpr int64_t kDT_RPATH = 0xf;
inline constexpr int64_t kDT_SYMBOLIC = 0x10;
inline constexpr int64_t kDT_REL = 0x11;
inline constexpr int64_t kDT_RELSZ = 0x12;
inline constexpr int64_t kDT_RELENT = 0x13;
inline constexpr int64_t kDT_PLTREL = 0x14;
inline constexpr int64_t kDT_DEBUG = 0x15;
inline constexpr int64_t kDT_TEXTREL = 0x16;
inline constexpr int64_t kDT_JMPREL = 0x17;
inline constexpr int64_t kDT_BIND_NOW = 0x18;
inline constexpr int64_t kDT_INIT_ARRAY = 0x19;
inline constexpr int64_t kDT_FINI_ARRAY = 0x1a;
inline constexpr int64_t kDT_INIT_ARRAYSZ = 0x1b;
inline constexpr int64_t kDT_FINI_ARRAYSZ = 0x1c;
inline constexpr int64_t kDT_RUNPATH = 0x1d;
inline constexpr int64_t kDT_FLAGS = 0x1e;
inline constexpr int64_t kDT_RELRSZ = 0x23;
inline constexpr int64_t kDT_RELR = 0x24;
inline constexpr int64_t kDT_RELRENT = 0x25;
inline constexpr int64_t kDT_GNU_HASH = 0x6ffffef5;
inline constexpr int64_t kDT_VERSYM = 0x6ffffff0;
inline constexpr int64_t kDT_RELACOUNT = 0x6ffffff9;
inline constexpr int64_t kDT_RELCOUNT = 0x6ffffffa;
inline constexpr int64_t kDT_FLAGS_1 = 0x6ffffffb;
inline constexpr int64_t kDT_VERDEF = 0x6ffffffc;
inline constexpr int64_t kDT_VERDEFNUM = 0x6ffffffd;
inline constexpr int64_t kDT_VERNEED = 0x6ffffffe;
inline constexpr int64_t kDT_VERNEEDNUM = 0x6fffffff;
inline constexpr uint8_t kSTB_LOCAL = 0;
inline constexpr uint8_t kSTB_GLOBAL = 1;
inline constexpr uint8_t kSTB_WEAK = 2;
inline constexpr uint8_t kSTT_NOTYPE = 0;
inline constexpr uint8_t kSTT_OBJECT = 1;
inline constexpr uint8_t kSTT_FUNC = 2;
inline constexpr uint8_t kSTT_SECTION = 3;
inline constexpr uint8_t kSTT_FILE = 4;
inline constexpr uint8_t kSTT_COMMON = 5;
inline constexpr uint8_t kSTT_TLS = 6;
inline constexpr uint8_t kSTT_GNU_IFUNC = 10;
inline constexpr uint32_t kR_X86_64_NONE = 0;
inline constexpr uint32_t kR_X86_64_64 = 1;
inline constexpr uint32_t kR_X86_64_PC32 = 2;
inline constexpr uint32_t kR_X86_64_GLOB_DAT = 6;
inline constexpr uint32_t kR_X86_64_JUMP_SLOT = 7;
inline constexpr uint32_t kR_X86_64_RELATIVE = 8;
inline constexpr uint32_t kR_X86_64_IRELATIVE = 37;
inline constexpr uint32_t kNT_PRSTATUS = 0x1;
inline constexpr uint32_t kNT_PRFPREG = 0x2;
inline constexpr uint32_t kNT_FPREGSET = 2;
inline constexpr uint32_t kNT_PRPSINFO = 0x3;
inline constexpr uint32_t kNT_TASKSTRUCT = 0x4;
inline constexpr uint32_t kNT_AUXV = 0x6;
inline constexpr uint32_t kNT_SIGINFO = 0x53494749;
inline constexpr uint32_t kNT_FILE = 0x46494c45;
inline constexpr uint32_t kNT_PRXFPREG = 0x46e62b7f;
inline constexpr uint32_t kNT_386_TLS = 0x200;
inline constexpr uint32_t kNT_386_IOPERM = 0x201;
inline constexpr uint32_t kNT_X86_XSTATE = 0x202;
inline constexpr uint32_t kNT_GNU_ABI_TAG = 0x1;
inline constexpr uint32_t kNT_GNU_BUILD_ID = 0x3;
inline constexpr uint32_t kNT_GNU_PROPERTY_TYPE_0 = 0x5;
inline constexpr uint32_t kGNU_PROPERTY_X86_FEATURE_1_AND = 0xc0000002;
inline constexpr uint32_t kGNU_PROPERTY_X86_FEATURE_1_IBT = 0x1;
inline constexpr uint32_t kGNU_PROPERTY_X86_FEATURE_1_SHSTK = 0x2;

struct Elf64Ehdr {
  uint8_t e_ident[16];
  uint16_t e_type;
  uint16_t e_machine;
  uint32_t e_version;
  uint64_t e_entry;
  uint64_t e_phoff;
  uint64_t e_shoff;
  uint32_t e_flags;
  uint16_t e_ehsize;
  uint16_t e_phentsize;
  uint16_t e_phnum;
  uint16_t e_shentsize;
  uint16_t e_shnum;
  uint16_t e_shstrndx;
};
static_assert(sizeof(Elf64Ehdr) == 64);

struct Elf64Phdr {
  uint32_t p_type;
  uint32_t p_flags;
  uint64_t p_offset;
  uint64_t p_vaddr;
  uint64_t p_paddr;
  uint64_t p_filesz;
  uint64_t p_memsz;
  uint64_t p_align;
};
static_assert(sizeof(Elf64Phdr) == 56);

struct Elf64Shdr {
  uint32_t sh_name;
  uint32_t sh_type;
  uint64_t sh_flags;
  uint64_t sh_addr;
  uint64_t sh_offset;
  uint64_t sh_size;
  uint32_t sh_link;
  uint32_t sh_info;
  uint64_t sh_addralign;
  uint64_t sh_entsize;
};
static_assert(sizeof(Elf64Shdr) == 64);

struct Elf64Sym {
  uint32_t st_name;
  uint8_t st_info;
  uint8_t st_other;
  uint16_t st_shndx;
  uint64_t st_value;
  uint64_t st_size;
};
static_assert(sizeof(Elf64Sym) == 24);

struct Elf64Dyn {
  int64_t d_tag;
  union {
    uint64_t d_val;
    uint64_t d_ptr;
  } d_un;
};
static_assert(sizeof(Elf64Dyn) == 16);

struct Elf64Rela {
  uint64_t r_offset;
  uint64_t r_info;
  int64_t r_addend;
};

struct Elf64Nhdr {
  uint32_t n_namesz;
  uint32_t n_descsz;
  uint32_t n_type;
};

// Symbol versions, as the vDSO has them.
struct Elf64Verdef {
  uint16_t vd_version;
  uint16_t vd_flags;
  uint16_t vd_ndx;
  uint16_t vd_cnt;
  uint32_t vd_hash;
  uint32_t vd_aux;
  uint32_t vd_next;
};

struct Elf64Verdaux {
  uint32_t vda_name;
  uint32_t vda_next;
};

// NT_PRSTATUS of a core dump.
struct ElfPrstatus {
  int32_t si_signo_;
  int32_t si_code_;
  int32_t si_errno_;
  int16_t pr_cursig;
  uint64_t pr_sigpend;
  uint64_t pr_sighold;
  int32_t pr_pid;
  int32_t pr_ppid;
  int32_t pr_pgrp;
  int32_t pr_sid;
  Timeval pr_utime;
  Timeval pr_stime;
  Timeval pr_cutime;
  Timeval pr_cstime;
  UserRegs pr_reg;
  int32_t pr_fpvalid;
};
static_assert(sizeof(ElfPrstatus) == 336);

// NT_PRPSINFO of a core dump.
struct ElfPrpsinfo {
  char pr_state;
  char pr_sname;
  char pr_zomb;
  char pr_nice;
  uint64_t pr_flag;
  uint32_t pr_uid;
  uint32_t pr_gid;
  int32_t pr_pid;
  int32_t pr_ppid;
  int32_t pr_pgrp;
  int32_t pr_sid;
  char pr_fname[16];
  char pr_psargs[80];
};
static_assert(sizeof(ElfPrpsinfo) == 136);

}  // namespace moat::abi
