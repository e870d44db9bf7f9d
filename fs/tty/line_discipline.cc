#include "fs/tty/line_discipline.h"

#include <algorithm>

#include "abi/signal.h"

namespace moat {

namespace {

constexpr uint8_t kEraseChar = 0177;
constexpr size_t kTab = 8;

bool IsControl(uint8_t c) { return c < 040 || c == kEraseChar; }
bool IsContinuation(uint8_t c) { return (c & 0xc0) == 0x80; }
bool IsWord(uint8_t c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80; }

}  // namespace

LineDiscipline::LineDiscipline() : termios_{} {
  termios_.c_iflag = abi::kICRNL | abi::kIXON;
  termios_.c_oflag = abi::kOPOST | abi::kONLCR;
  termios_.c_cflag = abi::kB38400 | abi::kCS8 | abi::kCREAD;
  termios_.c_lflag = abi::kISIG | abi::kICANON | abi::kECHO | abi::kECHOE | abi::kECHOK | abi::kECHOCTL | abi::kECHOKE |
                     abi::kIEXTEN;
  uint8_t* cc = termios_.c_cc;
  cc[abi::kVINTR] = 'C' & 037;
  cc[abi::kVQUIT] = '\\' & 037;
  cc[abi::kVERASE] = kEraseChar;
  cc[abi::kVKILL] = 'U' & 037;
  cc[abi::kVEOF] = 'D' & 037;
  cc[abi::kVMIN] = 1;
  cc[abi::kVSTART] = 'Q' & 037;
  cc[abi::kVSTOP] = 'S' & 037;
  cc[abi::kVSUSP] = 'Z' & 037;
  cc[abi::kVREPRINT] = 'R' & 037;
  cc[abi::kVDISCARD] = 'O' & 037;
  cc[abi::kVWERASE] = 'W' & 037;
  cc[abi::kVLNEXT] = 'V' & 037;
  termios_.c_ispeed = termios_.c_ospeed = 38400;
}

void LineDiscipline::SetTermios(const abi::Termios2& t) {
  bool was_canonical = canonical();
  termios_ = t;
  if (!(t.c_iflag & abi::kIXON)) stopped_ = false;
  if (was_canonical == canonical()) return;
  if (was_canonical) {
    for (char c : edit_) ready_.push_back({static_cast<uint8_t>(c), Kind::kByte});
    edit_.clear();
    for (Input& i : ready_) {
      if (i.kind == Kind::kLineEnd) i.kind = Kind::kByte;
    }
  } else if (!ready_.empty() && ready_.back().kind == Kind::kByte) {
    ready_.back().kind = Kind::kLineEnd;
  }
}

// --- Input. ---

size_t LineDiscipline::Type(std::string_view bytes, std::string& echo, std::vector<int>& signals) {
  size_t done = 0;
  for (char byte : bytes) {
    uint8_t c = static_cast<uint8_t>(byte);
    if (!HasRoom()) break;
    ++done;
    if (In(abi::kISTRIP)) c &= 0177;
    if (literal_) {
      literal_ = false;
      if (canonical()) {
        if (edit_.size() + 1 < kInputSize) edit_ += static_cast<char>(c);
      } else {
        ready_.push_back({c, Kind::kByte});
      }
      Echo(c, echo);
      continue;
    }
    if (HandleFlow(c)) continue;
    if (HandleSignal(c, echo, signals)) continue;
    if (c == '\r') {
      if (In(abi::kIGNCR)) continue;
      if (In(abi::kICRNL)) c = '\n';
    } else if (c == '\n' && In(abi::kINLCR)) {
      c = '\r';
    }
    if (Local(abi::kIEXTEN) && Is(c, abi::kVLNEXT)) {
      literal_ = true;
      if (Local(abi::kECHO) && Local(abi::kECHOCTL)) echo += "^\b";
      continue;
    }
    if (canonical()) {
      TypeCanonical(c, echo);
    } else {
      ready_.push_back({c, Kind::kByte});
      Echo(c, echo);
    }
  }
  return done;
}

bool LineDiscipline::HandleFlow(uint8_t c) {
  if (!In(abi::kIXON)) return false;
  if (Is(c, abi::kVSTOP)) {
    stopped_ = true;
    return true;
  }
  if (Is(c, abi::kVSTART)) {
    stopped_ = false;
    return true;
  }
  if (stopped_ && In(abi::kIXANY)) stopped_ = false;
  return false;
}

bool LineDiscipline::HandleSignal(uint8_t c, std::string& echo, std::vector<int>& signals) {
  if (!Local(abi::kISIG)) return false;
  int signo = 0;
  if (Is(c, abi::kVINTR)) signo = abi::kSIGINT;
  else if (Is(c, abi::kVQUIT)) signo = abi::kSIGQUIT;
  else if (Is(c, abi::kVSUSP)) signo = abi::kSIGTSTP;
  if (!signo) return false;
  if (!Local(abi::kNOFLSH)) FlushInput();
  stopped_ = false;
  Echo(c, echo);
  signals.push_back(signo);
  return true;
}

void LineDiscipline::TypeCanonical(uint8_t c, std::string& echo) {
  if (Is(c, abi::kVERASE)) return EraseOne(echo);
  if (Is(c, abi::kVKILL)) return KillLine(echo);
  if (Local(abi::kIEXTEN) && Is(c, abi::kVWERASE)) return EraseWord(echo);
  if (Local(abi::kIEXTEN) && Is(c, abi::kVREPRINT) && Local(abi::kECHO)) {
    Echo(c, echo);
    echo += "\n";
    for (char e : edit_) Echo(static_cast<uint8_t>(e), echo);
    return;
  }
  if (c == '\n') {
    if (Local(abi::kECHO) || Local(abi::kECHONL)) echo += '\n';
    return EndLine(c, Kind::kLineEnd);
  }
  if (Is(c, abi::kVEOF)) return EndLine(c, Kind::kEof);
  if (Is(c, abi::kVEOL) || (Local(abi::kIEXTEN) && Is(c, abi::kVEOL2))) {
    Echo(c, echo);
    return EndLine(c, Kind::kLineEnd);
  }
  if (edit_.size() + 1 >= kInputSize) {
    if (In(abi::kIMAXBEL)) echo += '\a';
    return;  // the rest of an over-long line is lost, its end is not
  }
  edit_ += static_cast<char>(c);
  Echo(c, echo);
}

void LineDiscipline::EndLine(uint8_t c, Kind kind) {
  for (char e : edit_) ready_.push_back({static_cast<uint8_t>(e), Kind::kByte});
  edit_.clear();
  ready_.push_back({c, kind});
}

void LineDiscipline::EraseOne(std::string& echo) {
  if (edit_.empty()) return;
  uint8_t c = static_cast<uint8_t>(edit_.back());
  edit_.pop_back();
  while (In(abi::kIUTF8) && IsContinuation(c) && !edit_.empty()) {
    c = static_cast<uint8_t>(edit_.back());
    edit_.pop_back();
  }
  EchoErase(c, echo);
}

void LineDiscipline::EraseWord(std::string& echo) {
  bool in_word = false;
  while (!edit_.empty()) {
    bool word = IsWord(static_cast<uint8_t>(edit_.back()));
    if (in_word && !word) return;
    in_word |= word;
    EraseOne(echo);
  }
}

void LineDiscipline::KillLine(std::string& echo) {
  if (Local(abi::kECHO) && Local(abi::kECHOK) && Local(abi::kECHOKE) && Local(abi::kECHOE)) {
    while (!edit_.empty()) EraseOne(echo);
    return;
  }
  edit_.clear();
  if (!Local(abi::kECHO)) return;
  Echo(termios_.c_cc[abi::kVKILL], echo);
  if (Local(abi::kECHOK)) echo += '\n';
}

// Control characters show as ^X, but for tab and newline.
void LineDiscipline::Echo(uint8_t c, std::string& echo) {
  if (!Local(abi::kECHO)) return;
  if (Local(abi::kECHOCTL) && IsControl(c) && c != '\t' && c != '\n') {
    echo += '^';
    echo += static_cast<char>(c ^ 0100);
  } else {
    echo += static_cast<char>(c);
  }
}

void LineDiscipline::EchoErase(uint8_t c, std::string& echo) {
  if (!Local(abi::kECHO)) return;
  if (!Local(abi::kECHOE)) return Echo(termios_.c_cc[abi::kVERASE], echo);
  int columns = Local(abi::kECHOCTL) && IsControl(c) ? 2 : 1;
  for (int i = 0; i < columns; ++i) echo += "\b \b";
}

bool LineDiscipline::HasRoom() const {
  // A canonical line is cut, not refused: its end must get in even when nothing more fits.
  return canonical() ? ready_.size() < kInputSize : ready_.size() + 1 < kInputSize;
}

bool LineDiscipline::Readable(size_t least) const {
  if (!canonical()) return ready_.size() >= std::max<size_t>(least, 1);
  return !ready_.empty();
}

std::string LineDiscipline::Take(size_t size) {
  std::string out;
  while (!ready_.empty()) {
    Input next = ready_.front();
    if (canonical() && next.kind == Kind::kEof) {
      ready_.pop_front();
      break;
    }
    if (out.size() == size) break;
    ready_.pop_front();
    out += static_cast<char>(next.c);
    if (canonical() && next.kind == Kind::kLineEnd) break;
  }
  return out;
}

size_t LineDiscipline::InputBytes() const {
  return static_cast<size_t>(
      std::count_if(ready_.begin(), ready_.end(), [](const Input& i) { return i.kind != Kind::kEof; }));
}

void LineDiscipline::FlushInput() {
  ready_.clear();
  edit_.clear();
}

// --- Output. ---

std::string LineDiscipline::Output(std::string_view bytes) {
  if (!Out(abi::kOPOST)) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size() + 16);
  for (char c : bytes) {
    switch (c) {
      case '\n':
        if (Out(abi::kONLRET)) column_ = 0;
        if (Out(abi::kONLCR)) {
          column_ = 0;
          out += "\r\n";
        } else {
          out += c;
        }
        break;
      case '\r':
        if (Out(abi::kONOCR) && column_ == 0) break;
        if (Out(abi::kOCRNL)) {
          out += '\n';
          if (Out(abi::kONLRET)) column_ = 0;
          break;
        }
        column_ = 0;
        out += c;
        break;
      case '\t': {
        size_t spaces = kTab - column_ % kTab;
        column_ += spaces;
        if ((termios_.c_oflag & abi::kTABDLY) == abi::kXTABS) out.append(spaces, ' ');
        else out += c;
        break;
      }
      case '\b':
        if (column_) --column_;
        out += c;
        break;
      default:
        if (Out(abi::kOLCUC) && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        if (!IsControl(static_cast<uint8_t>(c)) && !IsContinuation(static_cast<uint8_t>(c))) ++column_;
        out += c;
    }
  }
  return out;
}

}  // namespace moat
