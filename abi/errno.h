// Linux's error numbers. They are the one vocabulary of failure in Moat: see ErrorOr in base/util.
#pragma once

#include <stdint.h>

namespace moat {

// A Linux error number, positive. 0 is not an error. The values above 511 are the kernel's own restart
// requests and never reach a guest.
enum class Errno : uint16_t {};

inline constexpr Errno kEPERM{1};
inline constexpr Errno kENOENT{2};
inline constexpr Errno kESRCH{3};
inline constexpr Errno kEINTR{4};
inline constexpr Errno kEIO{5};
inline constexpr Errno kENXIO{6};
inline constexpr Errno kE2BIG{7};
inline constexpr Errno kENOEXEC{8};
inline constexpr Errno kEBADF{9};
inline constexpr Errno kECHILD{10};
inline constexpr Errno kEAGAIN{11};
inline constexpr Errno kENOMEM{12};
inline constexpr Errno kEACCES{13};
inline constexpr Errno kEFAULT{14};
inline constexpr Errno kENOTBLK{15};
inline constexpr Errno kEBUSY{16};
inline constexpr Errno kEEXIST{17};
inline constexpr Errno kEXDEV{18};
inline constexpr Errno kENODEV{19};
inline constexpr Errno kENOTDIR{20};
inline constexpr Errno kEISDIR{21};
inline constexpr Errno kEINVAL{22};
inline constexpr Errno kENFILE{23};
inline constexpr Errno kEMFILE{24};
inline constexpr Errno kENOTTY{25};
inline constexpr Errno kETXTBSY{26};
inline constexpr Errno kEFBIG{27};
inline constexpr Errno kENOSPC{28};
inline constexpr Errno kESPIPE{29};
inline constexpr Errno kEROFS{30};
inline constexpr Errno kEMLINK{31};
inline constexpr Errno kEPIPE{32};
inline constexpr Errno kEDOM{33};
inline constexpr Errno kERANGE{34};
inline constexpr Errno kEDEADLK{35};
inline constexpr Errno kENAMETOOLONG{36};
inline constexpr Errno kENOLCK{37};
inline constexpr Errno kENOSYS{38};
inline constexpr Errno kENOTEMPTY{39};
inline constexpr Errno kELOOP{40};
inline constexpr Errno kENOMSG{42};
inline constexpr Errno kEIDRM{43};
inline constexpr Errno kECHRNG{44};
inline constexpr Errno kEL2NSYNC{45};
inline constexpr Errno kEL3HLT{46};
inline constexpr Errno kEL3RST{47};
inline constexpr Errno kELNRNG{48};
inline constexpr Errno kEUNATCH{49};
inline constexpr Errno kENOCSI{50};
inline constexpr Errno kEL2HLT{51};
inline constexpr Errno kEBADE{52};
inline constexpr Errno kEBADR{53};
inline constexpr Errno kEXFULL{54};
inline constexpr Errno kENOANO{55};
inline constexpr Errno kEBADRQC{56};
inline constexpr Errno kEBADSLT{57};
inline constexpr Errno kEBFONT{59};
inline constexpr Errno kENOSTR{60};
inline constexpr Errno kENODATA{61};
inline constexpr Errno kETIME{62};
inline constexpr Errno kENOSR{63};
inline constexpr Errno kENONET{64};
inline constexpr Errno kENOPKG{65};
inline constexpr Errno kEREMOTE{66};
inline constexpr Errno kENOLINK{67};
inline constexpr Errno kEADV{68};
inline constexpr Errno kESRMNT{69};
inline constexpr Errno kECOMM{70};
inline constexpr Errno kEPROTO{71};
inline constexpr Errno kEMULTIHOP{72};
inline constexpr Errno kEDOTDOT{73};
inline constexpr Errno kEBADMSG{74};
inline constexpr Errno kEOVERFLOW{75};
inline constexpr Errno kENOTUNIQ{76};
inline constexpr Errno kEBADFD{77};
inline constexpr Errno kEREMCHG{78};
inline constexpr Errno kELIBACC{79};
inline constexpr Errno kELIBBAD{80};
inline constexpr Errno kELIBSCN{81};
inline constexpr Errno kELIBMAX{82};
inline constexpr Errno kELIBEXEC{83};
inline constexpr Errno kEILSEQ{84};
inline constexpr Errno kERESTART{85};
inline constexpr Errno kESTRPIPE{86};
inline constexpr Errno kEUSERS{87};
inline constexpr Errno kENOTSOCK{88};
inline constexpr Errno kEDESTADDRREQ{89};
inline constexpr Errno kEMSGSIZE{90};
inline constexpr Errno kEPROTOTYPE{91};
inline constexpr Errno kENOPROTOOPT{92};
inline constexpr Errno kEPROTONOSUPPORT{93};
inline constexpr Errno kESOCKTNOSUPPORT{94};
inline constexpr Errno kEOPNOTSUPP{95};
inline constexpr Errno kEPFNOSUPPORT{96};
inline constexpr Errno kEAFNOSUPPORT{97};
inline constexpr Errno kEADDRINUSE{98};
inline constexpr Errno kEADDRNOTAVAIL{99};
inline constexpr Errno kENETDOWN{100};
inline constexpr Errno kENETUNREACH{101};
inline constexpr Errno kENETRESET{102};
inline constexpr Errno kECONNABORTED{103};
inline constexpr Errno kECONNRESET{104};
inline constexpr Errno kENOBUFS{105};
inline constexpr Errno kEISCONN{106};
inline constexpr Errno kENOTCONN{107};
inline constexpr Errno kESHUTDOWN{108};
inline constexpr Errno kETOOMANYREFS{109};
inline constexpr Errno kETIMEDOUT{110};
inline constexpr Errno kECONNREFUSED{111};
inline constexpr Errno kEHOSTDOWN{112};
inline constexpr Errno kEHOSTUNREACH{113};
inline constexpr Errno kEALREADY{114};
inline constexpr Errno kEINPROGRESS{115};
inline constexpr Errno kESTALE{116};
inline constexpr Errno kEUCLEAN{117};
inline constexpr Errno kENOTNAM{118};
inline constexpr Errno kENAVAIL{119};
inline constexpr Errno kEISNAM{120};
inline constexpr Errno kEREMOTEIO{121};
inline constexpr Errno kEDQUOT{122};
inline constexpr Errno kENOMEDIUM{123};
inline constexpr Errno kEMEDIUMTYPE{124};
inline constexpr Errno kECANCELED{125};
inline constexpr Errno kENOKEY{126};
inline constexpr Errno kEKEYEXPIRED{127};
inline constexpr Errno kEKEYREVOKED{128};
inline constexpr Errno kEKEYREJECTED{129};
inline constexpr Errno kEOWNERDEAD{130};
inline constexpr Errno kENOTRECOVERABLE{131};
inline constexpr Errno kERFKILL{132};
inline constexpr Errno kEHWPOISON{133};

inline constexpr Errno kEWOULDBLOCK = kEAGAIN;
inline constexpr Errno kEDEADLOCK = kEDEADLK;
inline constexpr Errno kENOTSUP = kEOPNOTSUPP;

// Restart requests: what an interrupted system call returns to the signal delivery code, which turns them
// into kEINTR or a restart (see signal(7), "Interruption of system calls").
inline constexpr Errno kERESTARTSYS{512};
inline constexpr Errno kERESTARTNOINTR{513};
inline constexpr Errno kERESTARTNOHAND{514};
inline constexpr Errno kENOIOCTLCMD{515};
inline constexpr Errno kERESTART_RESTARTBLOCK{516};

// Highest value that the kernel encodes as -errno in a system call's result.
inline constexpr int64_t kMAX_ERRNO = 4095;

// "ENOENT" for kENOENT, "EUNKNOWN" for a number without a name. Static storage.
const char* ErrnoName(Errno error);

}  // namespace moat
