// Linux's ioctl(2) requests. Those of a terminal's settings are in abi/tty.h.
#pragma once

#include <stdint.h>

namespace moat::abi {

// Request encoding: direction, size, type, number.
constexpr uint32_t Ioc(uint32_t dir, uint32_t type, uint32_t nr, uint32_t size) {
  return (dir << 30) | (size << 16) | (type << 8) | nr;
}
constexpr uint32_t IocDir(uint32_t request) { return request >> 30; }
constexpr uint32_t IocSize(uint32_t request) { return (request >> 16) & 0x3fff; }
constexpr uint32_t IocType(uint32_t request) { return (request >> 8) & 0xff; }
constexpr uint32_t IocNr(uint32_t request) { return request & 0xff; }
inline constexpr uint32_t k_IOC_NONE = 0;
inline constexpr uint32_t k_IOC_WRITE = 1;
inline constexpr uint32_t k_IOC_READ = 2;
inline constexpr uint32_t kIOC_NONE = 0;
inline constexpr uint32_t kIOC_WRITE = 1;
inline constexpr uint32_t kIOC_READ = 2;

// Any file.
inline constexpr uint32_t kFIONCLEX = 0x5450;
inline constexpr uint32_t kFIOCLEX = 0x5451;
inline constexpr uint32_t kFIOASYNC = 0x5452;
inline constexpr uint32_t kFIONBIO = 0x5421;
inline constexpr uint32_t kFIONREAD = 0x541b;
inline constexpr uint32_t kFIOQSIZE = 0x5460;
inline constexpr uint32_t kFIOSETOWN = 0x8901;
inline constexpr uint32_t kFIOGETOWN = 0x8903;
inline constexpr uint32_t kFIGETBSZ = 0x2;
inline constexpr uint32_t kFIFREEZE = 0xc0045877;
inline constexpr uint32_t kFITHAW = 0xc0045878;
inline constexpr uint32_t kFITRIM = 0xc0185879;
inline constexpr uint32_t kFIBMAP = 0x1;
inline constexpr uint32_t kFICLONE = 0x40049409;
inline constexpr uint32_t kFICLONERANGE = 0x4020940d;
inline constexpr uint32_t kFIDEDUPERANGE = 0xc0189436;
inline constexpr uint32_t kFS_IOC_GETFLAGS = 0x80086601;
inline constexpr uint32_t kFS_IOC_SETFLAGS = 0x40086602;
inline constexpr uint32_t kFS_IOC_GETVERSION = 0x80087601;
inline constexpr uint32_t kFS_IOC_SETVERSION = 0x40087602;
inline constexpr uint32_t kFS_IOC_FSGETXATTR = 0x801c581f;
inline constexpr uint32_t kFS_IOC_FSSETXATTR = 0x401c5820;
inline constexpr uint32_t kFS_IOC_GETFSLABEL = 0x81009431;
inline constexpr uint32_t kFS_IOC_SETFSLABEL = 0x41009432;
inline constexpr uint32_t kFS_IOC_FIEMAP = 0xc020660b;
inline constexpr uint32_t kFS_SECRM_FL = 0x1;
inline constexpr uint32_t kFS_UNRM_FL = 0x2;
inline constexpr uint32_t kFS_COMPR_FL = 0x4;
inline constexpr uint32_t kFS_SYNC_FL = 0x8;
inline constexpr uint32_t kFS_IMMUTABLE_FL = 0x10;
inline constexpr uint32_t kFS_APPEND_FL = 0x20;
inline constexpr uint32_t kFS_NODUMP_FL = 0x40;
inline constexpr uint32_t kFS_NOATIME_FL = 0x80;
inline constexpr uint32_t kFS_VERITY_FL = 0x100000;
inline constexpr uint32_t kFS_EXTENT_FL = 0x80000;
inline constexpr uint32_t kFS_DIRSYNC_FL = 0x10000;
inline constexpr uint32_t kFS_NOCOW_FL = 0x800000;
inline constexpr uint32_t kFS_DAX_FL = 0x2000000;
inline constexpr uint32_t kFS_PROJINHERIT_FL = 0x20000000;
inline constexpr uint32_t kFS_CASEFOLD_FL = 0x40000000;

struct FileCloneRange {
  int64_t src_fd;
  uint64_t src_offset;
  uint64_t src_length;
  uint64_t dest_offset;
};

// Terminals and pseudoterminals: ioctl_tty(2).
inline constexpr uint32_t kTCGETS = 0x5401;
inline constexpr uint32_t kTCSETS = 0x5402;
inline constexpr uint32_t kTCSETSW = 0x5403;
inline constexpr uint32_t kTCSETSF = 0x5404;
inline constexpr uint32_t kTCGETA = 0x5405;
inline constexpr uint32_t kTCSETA = 0x5406;
inline constexpr uint32_t kTCSETAW = 0x5407;
inline constexpr uint32_t kTCSETAF = 0x5408;
inline constexpr uint32_t kTCSBRK = 0x5409;
inline constexpr uint32_t kTCXONC = 0x540a;
inline constexpr uint32_t kTCFLSH = 0x540b;
inline constexpr uint32_t kTCSBRKP = 0x5425;
inline constexpr uint32_t kTCGETS2 = 0x802c542a;
inline constexpr uint32_t kTCSETS2 = 0x402c542b;
inline constexpr uint32_t kTCSETSW2 = 0x402c542c;
inline constexpr uint32_t kTCSETSF2 = 0x402c542d;
inline constexpr uint32_t kTIOCEXCL = 0x540c;
inline constexpr uint32_t kTIOCNXCL = 0x540d;
inline constexpr uint32_t kTIOCGEXCL = 0x80045440;
inline constexpr uint32_t kTIOCSCTTY = 0x540e;
inline constexpr uint32_t kTIOCNOTTY = 0x5422;
inline constexpr uint32_t kTIOCGPGRP = 0x540f;
inline constexpr uint32_t kTIOCSPGRP = 0x5410;
inline constexpr uint32_t kTIOCGSID = 0x5429;
inline constexpr uint32_t kTIOCOUTQ = 0x5411;
inline constexpr uint32_t kTIOCINQ = 0x541b;
inline constexpr uint32_t kTIOCSTI = 0x5412;
inline constexpr uint32_t kTIOCGWINSZ = 0x5413;
inline constexpr uint32_t kTIOCSWINSZ = 0x5414;
inline constexpr uint32_t kTIOCMGET = 0x5415;
inline constexpr uint32_t kTIOCMSET = 0x5418;
inline constexpr uint32_t kTIOCMBIS = 0x5416;
inline constexpr uint32_t kTIOCMBIC = 0x5417;
inline constexpr uint32_t kTIOCGSOFTCAR = 0x5419;
inline constexpr uint32_t kTIOCSSOFTCAR = 0x541a;
inline constexpr uint32_t kTIOCLINUX = 0x541c;
inline constexpr uint32_t kTIOCCONS = 0x541d;
inline constexpr uint32_t kTIOCGSERIAL = 0x541e;
inline constexpr uint32_t kTIOCSSERIAL = 0x541f;
inline constexpr uint32_t kTIOCPKT = 0x5420;
inline constexpr uint32_t kTIOCGPKT = 0x80045438;
inline constexpr uint32_t kTIOCSETD = 0x5423;
inline constexpr uint32_t kTIOCGETD = 0x5424;
inline constexpr uint32_t kTIOCSBRK = 0x5427;
inline constexpr uint32_t kTIOCCBRK = 0x5428;
inline constexpr uint32_t kTIOCGPTN = 0x80045430;
inline constexpr uint32_t kTIOCSPTLCK = 0x40045431;
inline constexpr uint32_t kTIOCGPTLCK = 0x80045439;
inline constexpr uint32_t kTIOCGPTPEER = 0x5441;
inline constexpr uint32_t kTIOCGDEV = 0x80045432;
inline constexpr uint32_t kTIOCSIG = 0x40045436;
inline constexpr uint32_t kTIOCVHANGUP = 0x5437;
inline constexpr uint32_t kTIOCGLCKTRMIOS = 0x5456;
inline constexpr uint32_t kTIOCSLCKTRMIOS = 0x5457;
inline constexpr uint32_t kTCGETX = 0x5432;
inline constexpr uint32_t kTCSETX = 0x5433;
inline constexpr uint32_t kTCSETXF = 0x5434;
inline constexpr uint32_t kTCSETXW = 0x5435;
inline constexpr uint32_t kKDGKBTYPE = 0x4b33;
inline constexpr uint32_t kKDGETMODE = 0x4b3b;
inline constexpr uint32_t kKDSETMODE = 0x4b3a;
inline constexpr uint32_t kKDGKBMODE = 0x4b44;
inline constexpr uint32_t kKDSKBMODE = 0x4b45;
inline constexpr uint32_t kVT_OPENQRY = 0x5600;
inline constexpr uint32_t kVT_GETMODE = 0x5601;
inline constexpr uint32_t kVT_SETMODE = 0x5602;
inline constexpr uint32_t kVT_GETSTATE = 0x5603;

// Sockets and interfaces.
inline constexpr uint32_t kSIOCATMARK = 0x8905;
inline constexpr uint32_t kSIOCSPGRP = 0x8902;
inline constexpr uint32_t kSIOCGPGRP = 0x8904;
inline constexpr uint32_t kSIOCGSTAMP = 0x8906;
inline constexpr uint32_t kSIOCGSTAMPNS = 0x8907;
inline constexpr uint32_t kSIOCGSTAMP_OLD = 0x8906;
inline constexpr uint32_t kSIOCGSTAMPNS_OLD = 0x8907;
inline constexpr uint32_t kSIOCGSTAMP_NEW = 0x80108906;
inline constexpr uint32_t kSIOCGSTAMPNS_NEW = 0x80108907;
inline constexpr uint32_t kSIOCINQ = 0x541b;
inline constexpr uint32_t kSIOCOUTQ = 0x5411;
inline constexpr uint32_t kSIOCOUTQNSD = 0x894b;
inline constexpr uint32_t kSIOCADDRT = 0x890b;
inline constexpr uint32_t kSIOCDELRT = 0x890c;
inline constexpr uint32_t kSIOCRTMSG = 0x890d;
inline constexpr uint32_t kSIOCGIFNAME = 0x8910;
inline constexpr uint32_t kSIOCSIFLINK = 0x8911;
inline constexpr uint32_t kSIOCGIFCONF = 0x8912;
inline constexpr uint32_t kSIOCGIFFLAGS = 0x8913;
inline constexpr uint32_t kSIOCSIFFLAGS = 0x8914;
inline constexpr uint32_t kSIOCGIFADDR = 0x8915;
inline constexpr uint32_t kSIOCSIFADDR = 0x8916;
inline constexpr uint32_t kSIOCGIFDSTADDR = 0x8917;
inline constexpr uint32_t kSIOCSIFDSTADDR = 0x8918;
inline constexpr uint32_t kSIOCGIFBRDADDR = 0x8919;
inline constexpr uint32_t kSIOCSIFBRDADDR = 0x891a;
inline constexpr uint32_t kSIOCGIFNETMASK = 0x891b;
inline constexpr uint32_t kSIOCSIFNETMASK = 0x891c;
inline constexpr uint32_t kSIOCGIFMETRIC = 0x891d;
inline constexpr uint32_t kSIOCSIFMETRIC = 0x891e;
inline constexpr uint32_t kSIOCGIFMEM = 0x891f;
inline constexpr uint32_t kSIOCSIFMEM = 0x8920;
inline constexpr uint32_t kSIOCGIFMTU = 0x8921;
inline constexpr uint32_t kSIOCSIFMTU = 0x8922;
inline constexpr uint32_t kSIOCSIFNAME = 0x8923;
inline constexpr uint32_t kSIOCSIFHWADDR = 0x8924;
inline constexpr uint32_t kSIOCGIFENCAP = 0x8925;
inline constexpr uint32_t kSIOCSIFENCAP = 0x8926;
inline constexpr uint32_t kSIOCGIFHWADDR = 0x8927;
inline constexpr uint32_t kSIOCGIFSLAVE = 0x8929;
inline constexpr uint32_t kSIOCSIFSLAVE = 0x8930;
inline constexpr uint32_t kSIOCADDMULTI = 0x8931;
inline constexpr uint32_t kSIOCDELMULTI = 0x8932;
inline constexpr uint32_t kSIOCGIFINDEX = 0x8933;
inline constexpr uint32_t kSIOCSIFPFLAGS = 0x8934;
inline constexpr uint32_t kSIOCGIFPFLAGS = 0x8935;
inline constexpr uint32_t kSIOCDIFADDR = 0x8936;
inline constexpr uint32_t kSIOCGIFCOUNT = 0x8938;
inline constexpr uint32_t kSIOCGIFBR = 0x8940;
inline constexpr uint32_t kSIOCSIFBR = 0x8941;
inline constexpr uint32_t kSIOCGIFTXQLEN = 0x8942;
inline constexpr uint32_t kSIOCSIFTXQLEN = 0x8943;
inline constexpr uint32_t kSIOCETHTOOL = 0x8946;
inline constexpr uint32_t kSIOCDARP = 0x8953;
inline constexpr uint32_t kSIOCGARP = 0x8954;
inline constexpr uint32_t kSIOCSARP = 0x8955;
inline constexpr uint32_t kSIOCGIFMAP = 0x8970;
inline constexpr uint32_t kSIOCSIFMAP = 0x8971;
inline constexpr uint32_t kSIOCUNIXFILE = 0x89e0;
inline constexpr uint32_t kSIOCDEVPRIVATE = 0x89f0;
inline constexpr uint32_t kSIOCPROTOPRIVATE = 0x89e0;
inline constexpr uint32_t kSIOCGSKNS = 0x894c;
inline constexpr uint32_t kSIOCGHWTSTAMP = 0x89b1;
inline constexpr uint32_t kSIOCSHWTSTAMP = 0x89b0;

// Namespace files: ioctl_ns(2); timerfd; pidfd.
inline constexpr uint32_t kNS_GET_USERNS = 0xb701;
inline constexpr uint32_t kNS_GET_PARENT = 0xb702;
inline constexpr uint32_t kNS_GET_NSTYPE = 0xb703;
inline constexpr uint32_t kNS_GET_OWNER_UID = 0xb704;
inline constexpr uint32_t kTFD_IOC_SET_TICKS = 0x40085400;
// /dev/random, block devices.
inline constexpr uint32_t kRNDGETENTCNT = 0x80045200;
inline constexpr uint32_t kRNDADDTOENTCNT = 0x40045201;
inline constexpr uint32_t kRNDADDENTROPY = 0x40085203;
inline constexpr uint32_t kRNDZAPENTCNT = 0x5204;
inline constexpr uint32_t kRNDCLEARPOOL = 0x5206;
inline constexpr uint32_t kRNDRESEEDCRNG = 0x5207;
inline constexpr uint32_t kBLKGETSIZE = 0x1260;
inline constexpr uint32_t kBLKGETSIZE64 = 0x80081272;
inline constexpr uint32_t kBLKSSZGET = 0x1268;
inline constexpr uint32_t kBLKBSZGET = 0x80081270;
inline constexpr uint32_t kBLKROGET = 0x125e;
inline constexpr uint32_t kBLKFLSBUF = 0x1261;
inline constexpr uint32_t kBLKDISCARD = 0x1277;
inline constexpr uint32_t kBLKPBSZGET = 0x127b;
inline constexpr uint32_t kBLKIOMIN = 0x1278;
inline constexpr uint32_t kBLKIOOPT = 0x1279;

}  // namespace moat::abi
