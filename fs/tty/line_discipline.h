// termios(3) of one terminal: what typed bytes become as input (line editing, signals, echo), and written ones as output.
// Pure data, no locks: its pty guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "abi/tty.h"

namespace moat {

class LineDiscipline {
 public:
  static constexpr size_t kInputSize = 4096;  // as N_TTY_BUF_SIZE: bytes of input held, and the longest line

  LineDiscipline();

  const abi::Termios2& termios() const { return termios_; }
  // Moves a line under edit into reach if ICANON went off, ends the input as a line if it came on.
  void SetTermios(const abi::Termios2& t);
  bool canonical() const { return Local(abi::kICANON); }

  // Takes typed bytes as far as there is room; returns how many. What they echo is appended to `echo`, signals they make
  // to `signals`.
  size_t Type(std::string_view bytes, std::string& echo, std::vector<int>& signals);
  // True if a read would get something: a line, an end of file, or at least `least` bytes.
  bool Readable(size_t least) const;
  // Takes at most `size` bytes: of the first line if canonical. An end-of-file character gives an empty text.
  std::string Take(size_t size);
  size_t InputBytes() const;  // FIONREAD
  size_t raw_size() const { return ready_.size(); }
  bool HasRoom() const;
  void FlushInput();

  // Written bytes as they go out (OPOST).
  std::string Output(std::string_view bytes);
  bool stopped() const { return stopped_; }  // by VSTOP or tcflow(TCOOFF)
  void set_stopped(bool on) { stopped_ = on; }

 private:
  enum class Kind : uint8_t { kByte, kLineEnd, kEof };  // kEof: an end of file that stands for no byte
  struct Input {
    uint8_t c;
    Kind kind;
  };
  bool Local(uint32_t flag) const { return (termios_.c_lflag & flag) != 0; }
  bool In(uint32_t flag) const { return (termios_.c_iflag & flag) != 0; }
  bool Out(uint32_t flag) const { return (termios_.c_oflag & flag) != 0; }
  bool Is(uint8_t c, int index) const { return termios_.c_cc[index] != abi::kDISABLED_CHAR && termios_.c_cc[index] == c; }

  bool HandleSignal(uint8_t c, std::string& echo, std::vector<int>& signals);
  bool HandleFlow(uint8_t c);
  void TypeCanonical(uint8_t c, std::string& echo);
  void EndLine(uint8_t c, Kind kind);
  void EraseOne(std::string& echo);
  void EraseWord(std::string& echo);
  void KillLine(std::string& echo);
  void Echo(uint8_t c, std::string& echo);
  void EchoErase(uint8_t c, std::string& echo);

  abi::Termios2 termios_;
  std::string edit_;          // the line being typed, canonical mode
  std::deque<Input> ready_;
  bool literal_ = false;      // the last byte was VLNEXT
  bool stopped_ = false;
  size_t column_ = 0;         // of the output, for tabs
};

}  // namespace moat
