#include "sentry/syscalls/strace.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <string_view>

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/limits.h"
#include "abi/time.h"
#include "abi/uio.h"
#include "abi/wait.h"
#include "base/host/file.h"
#include "sentry/kernel/task.h"
#include "sentry/syscalls/strace_flags.h"
#include "sentry/syscalls/table.h"

namespace moat {

namespace {

int g_strace_fd = -1;
constexpr size_t kShownBytes = 64;     // of a buffer
constexpr size_t kShownStrings = 16;   // of argv
constexpr size_t kShownIovecs = 4;

void Append(std::string& out, const char* format, ...) __attribute__((format(printf, 2, 3)));
void Append(std::string& out, const char* format, ...) {
  char text[160];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  out += text;
}

void AppendQuoted(std::string& out, std::string_view bytes, bool cut) {
  out += '"';
  for (unsigned char c : bytes) {
    switch (c) {
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      default:
        if (c >= 0x20 && c < 0x7f) out += static_cast<char>(c);
        else Append(out, "\\x%02x", c);
    }
  }
  out += cut ? "\"..." : "\"";
}

class Formatter {
 public:
  Formatter(Task& t, const uint64_t* args, std::string& out) : t_(t), args_(args), out_(out) {}

  // One argument by its format word ("fd", "buf:2", "flags:open"). `done`: the call's result for out buffers, or -1.
  void Argument(std::string_view word, int index, int64_t done) {
    uint64_t v = args_[index];
    std::string_view kind = word.substr(0, word.find(':'));
    std::string_view parameter = kind.size() < word.size() ? word.substr(kind.size() + 1) : "";
    if (kind == "fd" || kind == "int" || kind == "pid") {
      Append(out_, "%d", static_cast<int>(v));
    } else if (kind == "dirfd") {
      static_cast<int>(v) == abi::kAT_FDCWD ? out_.append("AT_FDCWD") : (Append(out_, "%d", static_cast<int>(v)), out_);
    } else if (kind == "uint") {
      Append(out_, "%u", static_cast<uint32_t>(v));
    } else if (kind == "u64") {
      Append(out_, "%llu", static_cast<unsigned long long>(v));
    } else if (kind == "oct") {
      Append(out_, "0%o", static_cast<uint32_t>(v));
    } else if (kind == "sig") {
      out_ += SignalName(static_cast<int>(v));
    } else if (kind == "path" || kind == "str") {
      String(v);
    } else if (kind == "strings") {
      Strings(v);
    } else if (kind == "buf") {
      Buffer(v, args_[parameter[0] - '0']);
    } else if (kind == "out") {
      done >= 0 ? Buffer(v, static_cast<uint64_t>(done)) : Pointer(v);
    } else if (kind == "iov") {
      Iovec(v, args_[parameter[0] - '0']);
    } else if (kind == "sigset") {
      SignalSet(v);
    } else if (kind == "timespec") {
      Time(v);
    } else if (kind == "flags") {
      out_ += FlagsText(parameter, v);
    } else {
      Pointer(v);
    }
  }

 private:
  void Pointer(uint64_t v) { v ? Append(out_, "0x%llx", static_cast<unsigned long long>(v)) : (void)(out_ += "NULL"); }

  void String(uint64_t addr) {
    if (!addr) return Pointer(0);
    ErrorOr<std::string> s = t_.mm().ReadString(addr, abi::kPATH_MAX);
    if (!s.ok()) return Pointer(addr);
    AppendQuoted(out_, std::string_view(*s).substr(0, 2 * kShownBytes), s->size() > 2 * kShownBytes);
  }

  void Strings(uint64_t addr) {
    out_ += '[';
    for (size_t i = 0;; ++i) {
      ErrorOr<uint64_t> p = addr ? t_.mm().Read<uint64_t>(addr + 8 * i) : kEFAULT;
      if (!p.ok() || !*p) break;
      if (i) out_ += ", ";
      if (i == kShownStrings) {
        out_ += "...";
        break;
      }
      String(*p);
    }
    out_ += ']';
  }

  void Buffer(uint64_t addr, uint64_t length) {
    std::array<char, kShownBytes> bytes;
    size_t n = std::min<uint64_t>(length, bytes.size());
    if (!addr || !t_.mm().CopyIn(addr, bytes.data(), n).ok()) return Pointer(addr);
    AppendQuoted(out_, {bytes.data(), n}, length > n);
  }

  void Iovec(uint64_t addr, uint64_t count) {
    out_ += '[';
    for (size_t i = 0; i < std::min<uint64_t>(count, kShownIovecs); ++i) {
      ErrorOr<abi::Iovec> v = t_.mm().Read<abi::Iovec>(addr + i * sizeof(abi::Iovec));
      if (!v.ok()) break;
      if (i) out_ += ", ";
      Buffer(v->iov_base, v->iov_len);
    }
    out_ += count > kShownIovecs ? ", ...]" : "]";
  }

  void SignalSet(uint64_t addr) {
    ErrorOr<abi::SigSet> set = addr ? t_.mm().Read<abi::SigSet>(addr) : kEFAULT;
    if (!set.ok()) return Pointer(addr);
    out_ += '[';
    bool first = true;
    for (int s = 1; s <= abi::kNSIG; ++s) {
      if (!(*set & abi::SigMask(s))) continue;
      if (!first) out_ += ' ';
      first = false;
      out_ += SignalName(s).substr(3);
    }
    out_ += ']';
  }

  void Time(uint64_t addr) {
    ErrorOr<abi::Timespec> ts = addr ? t_.mm().Read<abi::Timespec>(addr) : kEFAULT;
    if (!ts.ok()) return Pointer(addr);
    Append(out_, "{%lld, %lld}", static_cast<long long>(ts->tv_sec), static_cast<long long>(ts->tv_nsec));
  }

  Task& t_;
  const uint64_t* args_;
  std::string& out_;
};

// Calls `visit(word, index)` for each argument in [from, to) of a format.
template <class F>
void ForWords(const char* format, F visit) {
  std::string_view rest = format;
  for (int i = 0; !rest.empty() && i < 6; ++i) {
    size_t end = std::min(rest.find(' '), rest.size());
    visit(rest.substr(0, end), i);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

void AppendResult(std::string& out, const ErrorOr<uint64_t>& r) {
  if (!r.ok()) {
    Append(out, " = -1 %s", ErrnoName(r.error()));
  } else if (*r > 0x100000) {
    Append(out, " = 0x%llx", static_cast<unsigned long long>(*r));
  } else {
    Append(out, " = %lld", static_cast<long long>(*r));
  }
}

void WriteLine(std::string line) {
  line += '\n';
  (void)host::Write(g_strace_fd, line.data(), line.size());
}

// Calls that do not come back to where they were made: shown before they run.
bool ShownBefore(const SyscallRow& row) {
  std::string_view name = row.name;
  return name == "execve" || name == "execveat" || name == "exit" || name == "exit_group" || name == "rt_sigreturn";
}

}  // namespace

void EnableStrace(int fd) { g_strace_fd = fd; }
bool StraceEnabled() { return g_strace_fd >= 0; }

ErrorOr<uint64_t> StraceCall(Task& t, const SyscallRow* row, int64_t nr, const uint64_t* args) {
  std::string line;
  Append(line, "[%d] ", t.tid());
  if (!row) {
    Append(line, "syscall_%lld() = -1 ENOSYS", static_cast<long long>(nr));
    WriteLine(std::move(line));
    return kENOSYS;
  }
  line += row->name;
  line += '(';
  Formatter formatter(t, args, line);
  // Inputs are shown as they were before the call, outputs as after it.
  bool has_output = std::string_view(row->format).find("out:") != std::string_view::npos;
  auto show = [&](int64_t done) {
    ForWords(row->format, [&](std::string_view word, int i) {
      if (i) line += ", ";
      formatter.Argument(word, i, done);
    });
    line += ')';
  };
  if (ShownBefore(*row)) {
    show(-1);
    WriteLine(line);
    return row->call(t, args);
  }
  if (!has_output) show(-1);
  ErrorOr<uint64_t> r = row->call(t, args);
  if (!t.mm_ref()) return r;
  if (has_output) show(r.ok() ? static_cast<int64_t>(*r) : -1);
  AppendResult(line, r);
  WriteLine(std::move(line));
  return r;
}

void StraceSignal(Task& t, const abi::SigInfo& info) {
  std::string line;
  Append(line, "[%d] --- %s {si_code=%d} ---", t.tid(), SignalName(info.si_signo).c_str(), info.si_code);
  WriteLine(std::move(line));
}

void StraceExit(Task& t, int status) {
  std::string line;
  if (abi::WaitIfSignaled(status)) {
    Append(line, "[%d] +++ killed by %s +++", t.tid(), SignalName(abi::WaitTermSig(status)).c_str());
  } else {
    Append(line, "[%d] +++ exited with %d +++", t.tid(), abi::WaitExitStatus(status));
  }
  WriteLine(std::move(line));
}

}  // namespace moat
