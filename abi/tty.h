// Linux's terminals: termios(3) as the kernel has it, window sizes, and the bits of their fields.
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kNCCS = 19;
inline constexpr int kNCC = 8;

struct Termios {
  uint32_t c_iflag;
  uint32_t c_oflag;
  uint32_t c_cflag;
  uint32_t c_lflag;
  uint8_t c_line;
  uint8_t c_cc[kNCCS];
};
static_assert(sizeof(Termios) == 36);

struct Termios2 {
  uint32_t c_iflag;
  uint32_t c_oflag;
  uint32_t c_cflag;
  uint32_t c_lflag;
  uint8_t c_line;
  uint8_t c_cc[kNCCS];
  uint32_t c_ispeed;
  uint32_t c_ospeed;
};
using Ktermios = Termios2;
static_assert(sizeof(Termios2) == 44);

struct Termio {
  uint16_t c_iflag;
  uint16_t c_oflag;
  uint16_t c_cflag;
  uint16_t c_lflag;
  uint8_t c_line;
  uint8_t c_cc[kNCC];
};
static_assert(sizeof(Termio) == 18);

struct Winsize {
  uint16_t ws_row;
  uint16_t ws_col;
  uint16_t ws_xpixel;
  uint16_t ws_ypixel;
};

// Indices of c_cc.
inline constexpr int kVINTR = 0;
inline constexpr int kVQUIT = 1;
inline constexpr int kVERASE = 2;
inline constexpr int kVKILL = 3;
inline constexpr int kVEOF = 4;
inline constexpr int kVTIME = 5;
inline constexpr int kVMIN = 6;
inline constexpr int kVSWTC = 7;
inline constexpr int kVSTART = 8;
inline constexpr int kVSTOP = 9;
inline constexpr int kVSUSP = 10;
inline constexpr int kVEOL = 11;
inline constexpr int kVREPRINT = 12;
inline constexpr int kVDISCARD = 13;
inline constexpr int kVWERASE = 14;
inline constexpr int kVLNEXT = 15;
inline constexpr int kVEOL2 = 16;
// The value that turns a control character off.
inline constexpr uint8_t kDISABLED_CHAR = 0;
inline constexpr uint8_t k_POSIX_VDISABLE = 0;

// c_iflag.
inline constexpr uint32_t kIGNBRK = 01;
inline constexpr uint32_t kBRKINT = 02;
inline constexpr uint32_t kIGNPAR = 04;
inline constexpr uint32_t kPARMRK = 010;
inline constexpr uint32_t kINPCK = 020;
inline constexpr uint32_t kISTRIP = 040;
inline constexpr uint32_t kINLCR = 0100;
inline constexpr uint32_t kIGNCR = 0200;
inline constexpr uint32_t kICRNL = 0400;
inline constexpr uint32_t kIUCLC = 01000;
inline constexpr uint32_t kIXON = 02000;
inline constexpr uint32_t kIXANY = 04000;
inline constexpr uint32_t kIXOFF = 010000;
inline constexpr uint32_t kIMAXBEL = 020000;
inline constexpr uint32_t kIUTF8 = 040000;
// c_oflag.
inline constexpr uint32_t kOPOST = 01;
inline constexpr uint32_t kOLCUC = 02;
inline constexpr uint32_t kONLCR = 04;
inline constexpr uint32_t kOCRNL = 010;
inline constexpr uint32_t kONOCR = 020;
inline constexpr uint32_t kONLRET = 040;
inline constexpr uint32_t kOFILL = 0100;
inline constexpr uint32_t kOFDEL = 0200;
inline constexpr uint32_t kNLDLY = 0400;
inline constexpr uint32_t kNL0 = 0;
inline constexpr uint32_t kNL1 = 0400;
inline constexpr uint32_t kCRDLY = 03000;
inline constexpr uint32_t kCR0 = 0;
inline constexpr uint32_t kCR1 = 01000;
inline constexpr uint32_t kCR2 = 02000;
inline constexpr uint32_t kCR3 = 03000;
inline constexpr uint32_t kTABDLY = 014000;
inline constexpr uint32_t kTAB0 = 0;
inline constexpr uint32_t kTAB1 = 04000;
inline constexpr uint32_t kTAB2 = 010000;
inline constexpr uint32_t kTAB3 = 014000;
inline constexpr uint32_t kXTABS = 014000;
inline constexpr uint32_t kBSDLY = 020000;
inline constexpr uint32_t kBS0 = 0;
inline constexpr uint32_t kBS1 = 020000;
inline constexpr uint32_t kVTDLY = 040000;
inline constexpr uint32_t kVT0 = 0;
inline constexpr uint32_t kVT1 = 040000;
inline constexpr uint32_t kFFDLY = 0100000;
inline constexpr uint32_t kFF0 = 0;
inline constexpr uint32_t kFF1 = 0100000;
// c_cflag.
inline constexpr uint32_t kCBAUD = 010017;
inline constexpr uint32_t kCBAUDEX = 010000;
inline constexpr uint32_t kB0 = 0;
inline constexpr uint32_t kB50 = 01;
inline constexpr uint32_t kB75 = 02;
inline constexpr uint32_t kB110 = 03;
inline constexpr uint32_t kB134 = 04;
inline constexpr uint32_t kB150 = 05;
inline constexpr uint32_t kB200 = 06;
inline constexpr uint32_t kB300 = 07;
inline constexpr uint32_t kB600 = 010;
inline constexpr uint32_t kB1200 = 011;
inline constexpr uint32_t kB1800 = 012;
inline constexpr uint32_t kB2400 = 013;
inline constexpr uint32_t kB4800 = 014;
inline constexpr uint32_t kB9600 = 015;
inline constexpr uint32_t kB19200 = 016;
inline constexpr uint32_t kB38400 = 017;
inline constexpr uint32_t kEXTA = 016;
inline constexpr uint32_t kEXTB = 017;
inline constexpr uint32_t kBOTHER = 010000;
inline constexpr uint32_t kB57600 = 010001;
inline constexpr uint32_t kB115200 = 010002;
inline constexpr uint32_t kB230400 = 010003;
inline constexpr uint32_t kB460800 = 010004;
inline constexpr uint32_t kB921600 = 010007;
inline constexpr uint32_t kCSIZE = 060;
inline constexpr uint32_t kCS5 = 0;
inline constexpr uint32_t kCS6 = 020;
inline constexpr uint32_t kCS7 = 040;
inline constexpr uint32_t kCS8 = 060;
inline constexpr uint32_t kCSTOPB = 0100;
inline constexpr uint32_t kCREAD = 0200;
inline constexpr uint32_t kPARENB = 0400;
inline constexpr uint32_t kPARODD = 01000;
inline constexpr uint32_t kHUPCL = 02000;
inline constexpr uint32_t kCLOCAL = 04000;
inline constexpr uint32_t kCIBAUD = 02003600000;
inline constexpr uint32_t kCMSPAR = 010000000000;
inline constexpr uint32_t kCRTSCTS = 020000000000;
inline constexpr uint32_t kADDRB = 04000000000;
inline constexpr uint32_t kIBSHIFT = 020;
// c_lflag.
inline constexpr uint32_t kISIG = 01;
inline constexpr uint32_t kICANON = 02;
inline constexpr uint32_t kXCASE = 04;
inline constexpr uint32_t kECHO = 010;
inline constexpr uint32_t kECHOE = 020;
inline constexpr uint32_t kECHOK = 040;
inline constexpr uint32_t kECHONL = 0100;
inline constexpr uint32_t kNOFLSH = 0200;
inline constexpr uint32_t kTOSTOP = 0400;
inline constexpr uint32_t kECHOCTL = 01000;
inline constexpr uint32_t kECHOPRT = 02000;
inline constexpr uint32_t kECHOKE = 04000;
inline constexpr uint32_t kFLUSHO = 010000;
inline constexpr uint32_t kPENDIN = 040000;
inline constexpr uint32_t kIEXTEN = 0100000;
inline constexpr uint32_t kEXTPROC = 0200000;

// Arguments of TCXONC, TCFLSH and the TCSETS requests.
inline constexpr int kTCOOFF = 0;
inline constexpr int kTCOON = 1;
inline constexpr int kTCIOFF = 2;
inline constexpr int kTCION = 3;
inline constexpr int kTCIFLUSH = 0;
inline constexpr int kTCOFLUSH = 1;
inline constexpr int kTCIOFLUSH = 2;
inline constexpr int kTCSANOW = 0;
inline constexpr int kTCSADRAIN = 1;
inline constexpr int kTCSAFLUSH = 2;
// First byte that a pty master reads in packet mode.
inline constexpr uint8_t kTIOCPKT_DATA = 0;
inline constexpr uint8_t kTIOCPKT_FLUSHREAD = 1;
inline constexpr uint8_t kTIOCPKT_FLUSHWRITE = 2;
inline constexpr uint8_t kTIOCPKT_STOP = 4;
inline constexpr uint8_t kTIOCPKT_START = 8;
inline constexpr uint8_t kTIOCPKT_NOSTOP = 16;
inline constexpr uint8_t kTIOCPKT_DOSTOP = 32;
inline constexpr uint8_t kTIOCPKT_IOCTL = 64;
// Modem lines.
inline constexpr uint32_t kTIOCM_LE = 0x1;
inline constexpr uint32_t kTIOCM_DTR = 0x2;
inline constexpr uint32_t kTIOCM_RTS = 0x4;
inline constexpr uint32_t kTIOCM_ST = 0x8;
inline constexpr uint32_t kTIOCM_SR = 0x10;
inline constexpr uint32_t kTIOCM_CTS = 0x20;
inline constexpr uint32_t kTIOCM_CAR = 0x40;
inline constexpr uint32_t kTIOCM_CD = 0x40;
inline constexpr uint32_t kTIOCM_RNG = 0x80;
inline constexpr uint32_t kTIOCM_RI = 0x80;
inline constexpr uint32_t kTIOCM_DSR = 0x100;
// Line disciplines.
inline constexpr int kN_TTY = 0;

// Major numbers of character devices (stat.h has the encoding).
inline constexpr uint32_t kMEM_MAJOR = 1;
inline constexpr uint32_t kTTY_MAJOR = 4;
inline constexpr uint32_t kTTYAUX_MAJOR = 5;
inline constexpr uint32_t kMISC_MAJOR = 10;
inline constexpr uint32_t kUNIX98_PTY_MASTER_MAJOR = 128;
inline constexpr uint32_t kUNIX98_PTY_SLAVE_MAJOR = 136;

}  // namespace moat::abi
