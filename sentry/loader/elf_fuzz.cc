// Feeds bytes to the parsers of hostile program files: ELF headers and `#!` lines.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/kern/io.h"
#include "base/util/check.h"
#include "fs/vfs/anon.h"
#include "sentry/loader/elf.h"
#include "sentry/loader/script.h"

namespace moat {
namespace {

// A file of the fuzzer's bytes.
class BytesFile final : public FileDescription {
 public:
  explicit BytesFile(std::string_view bytes) : FileDescription(MakeAnonPath("fuzz", 0), 0), bytes_(bytes) {}

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t* offset, IoFlags) override {
    size_t at = std::min(static_cast<size_t>(*offset), bytes_.size());
    size_t n = TRY(dst.Put(std::as_bytes(std::span(bytes_).subspan(at))));
    *offset += static_cast<int64_t>(n);
    return n;
  }

 private:
  const std::string_view bytes_;
};

void Fuzz(std::string_view bytes) {
  Ref<BytesFile> file = MakeRef<BytesFile>(bytes);
  ErrorOr<ElfImage> image = ParseElf(*file);
  if (image.ok()) {
    // What the mapper relies on.
    CHECK(image->end > image->first && image->end <= (1ull << 47));
    CHECK((image->alignment & (image->alignment - 1)) == 0);
    for (const abi::Elf64Phdr& p : image->segments) {
      if (p.p_type == abi::kPT_LOAD) CHECK(p.p_filesz <= p.p_memsz);
    }
  }
  (void)ParseScript(bytes.substr(0, 255));
}

}  // namespace
}  // namespace moat

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  moat::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
