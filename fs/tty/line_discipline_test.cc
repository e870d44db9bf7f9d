#include "fs/tty/line_discipline.h"

#include <gtest/gtest.h>

#include "abi/signal.h"

namespace moat {
namespace {

struct Typed {
  std::string echo;
  std::vector<int> signals;
  size_t taken;
};

Typed Type(LineDiscipline& line, std::string_view text) {
  Typed t;
  t.taken = line.Type(text, t.echo, t.signals);
  return t;
}

void Change(LineDiscipline& line, uint32_t clear, uint32_t set = 0) {
  abi::Termios2 t = line.termios();
  t.c_lflag = (t.c_lflag & ~clear) | set;
  line.SetTermios(t);
}

TEST(LineDiscipline, GivesWholeLinesOnly) {
  LineDiscipline line;
  Type(line, "ab");
  EXPECT_FALSE(line.Readable(1));
  Type(line, "c\nd\n");
  EXPECT_TRUE(line.Readable(1));
  EXPECT_EQ(line.Take(100), "abc\n");
  EXPECT_EQ(line.Take(1), "d");
  EXPECT_EQ(line.Take(100), "\n");
  EXPECT_FALSE(line.Readable(1));
}

TEST(LineDiscipline, EndOfFileEndsALineOrTheFile) {
  LineDiscipline line;
  Type(line, "ab\004\004");
  EXPECT_EQ(line.Take(100), "ab");
  EXPECT_TRUE(line.Readable(1));
  EXPECT_EQ(line.Take(100), "");
  EXPECT_FALSE(line.Readable(1));
}

TEST(LineDiscipline, EditsTheLine) {
  LineDiscipline line;
  Type(line, "one two\027three\177\n");
  EXPECT_EQ(line.Take(100), "one thre\n");
  Type(line, "gone\025kept\n");
  EXPECT_EQ(line.Take(100), "kept\n");
  Type(line, "\177\177x\n");
  EXPECT_EQ(line.Take(100), "x\n");
}

TEST(LineDiscipline, ErasesWholeCharactersOfUtf8) {
  LineDiscipline line;
  abi::Termios2 t = line.termios();
  t.c_iflag |= abi::kIUTF8;
  line.SetTermios(t);
  Type(line, "a\xc3\xa4\177\n");
  EXPECT_EQ(line.Take(100), "a\n");
}

TEST(LineDiscipline, EchoesWhatIsTyped) {
  LineDiscipline line;
  EXPECT_EQ(Type(line, "a\001").echo, "a^A");
  EXPECT_EQ(Type(line, "\177").echo, "\b \b\b \b");
  EXPECT_EQ(Type(line, "\n").echo, "\n");
  EXPECT_EQ(line.Output("\n"), "\r\n");
  Change(line, abi::kECHO);
  EXPECT_EQ(Type(line, "secret").echo, "");
}

TEST(LineDiscipline, MakesSignalsAndDropsTheLine) {
  LineDiscipline line;
  Typed t = Type(line, "lost\003");
  EXPECT_EQ(t.signals, std::vector<int>{abi::kSIGINT});
  EXPECT_EQ(t.echo, "lost^C");
  Type(line, "next\n");
  EXPECT_EQ(line.Take(100), "next\n");
  EXPECT_EQ(Type(line, "\032\034").signals, (std::vector<int>{abi::kSIGTSTP, abi::kSIGQUIT}));
}

TEST(LineDiscipline, TheNextCharacterCanBeLiteral) {
  LineDiscipline line;
  EXPECT_TRUE(Type(line, "\026\003\n").signals.empty());
  EXPECT_EQ(line.Take(100), "\003\n");
}

TEST(LineDiscipline, FlowControlStopsAndStarts) {
  LineDiscipline line;
  Type(line, "\023");
  EXPECT_TRUE(line.stopped());
  Type(line, "\021");
  EXPECT_FALSE(line.stopped());
}

TEST(LineDiscipline, RawModePassesEverything) {
  LineDiscipline line;
  abi::Termios2 t = line.termios();
  t.c_iflag = t.c_oflag = t.c_lflag = 0;
  line.SetTermios(t);
  Typed typed = Type(line, "\003\r\n\004\177");
  EXPECT_TRUE(typed.signals.empty());
  EXPECT_EQ(typed.echo, "");
  EXPECT_TRUE(line.Readable(5));
  EXPECT_FALSE(line.Readable(6));
  EXPECT_EQ(line.Take(100), "\003\r\n\004\177");
  EXPECT_EQ(line.Output("\n"), "\n");
}

TEST(LineDiscipline, LeavingCanonicalModeHandsOutTheUnfinishedLine) {
  LineDiscipline line;
  Type(line, "abc");
  Change(line, abi::kICANON);
  EXPECT_EQ(line.Take(100), "abc");
}

TEST(LineDiscipline, AnEndlessLineIsCutButItsEndArrives) {
  LineDiscipline line;
  Change(line, abi::kECHO);
  Typed t = Type(line, std::string(3 * LineDiscipline::kInputSize, 'x') + "\n");
  EXPECT_EQ(t.taken, 3 * LineDiscipline::kInputSize + 1);
  EXPECT_EQ(line.Take(1 << 20).size(), LineDiscipline::kInputSize);
  EXPECT_FALSE(line.Readable(1));
}

TEST(LineDiscipline, RawInputIsRefusedWhenFull) {
  LineDiscipline line;
  Change(line, abi::kICANON | abi::kECHO);
  size_t taken = Type(line, std::string(2 * LineDiscipline::kInputSize, 'x')).taken;
  EXPECT_EQ(taken, LineDiscipline::kInputSize - 1);
  line.Take(10);
  EXPECT_EQ(Type(line, std::string(20, 'x')).taken, 10u);
}

TEST(LineDiscipline, OutputCountsColumnsForTabs) {
  LineDiscipline line;
  abi::Termios2 t = line.termios();
  t.c_oflag |= abi::kXTABS;
  line.SetTermios(t);
  EXPECT_EQ(line.Output("ab\tc"), "ab      c");
  EXPECT_EQ(line.Output("\n\tx"), "\r\n        x");
}

}  // namespace
}  // namespace moat
