// Extended attributes. They need a real descriptor (not O_PATH), so the file is opened read only for the call; whoever may
// not read a file has no access to its attributes.
#include <algorithm>
#include <string>

#include "abi/fcntl.h"
#include "base/host/directory.h"
#include "base/host/file.h"
#include "gofer/server/session.h"

namespace moat::gofer {

namespace {

constexpr uint32_t kXattrCreate = 1, kXattrReplace = 2;

// The usual value; larger ones take a second look.
constexpr size_t kUsualValue = 512;

// The value; kERANGE cannot be left.
ErrorOr<void> PutXattr(int fd, const char* name, Writer& out) {
  std::byte usual[kUsualValue];
  auto n = host::Fgetxattr(fd, name, usual, sizeof usual);
  if (n.ok()) {
    out.PutBytes(usual, std::min(*n, sizeof usual));
    return {};
  }
  if (n.error() != kERANGE) return n.error();
  std::vector<std::byte> value(kMaxXattrValue);
  size_t length = TRY(host::Fgetxattr(fd, name, value.data(), value.size()));
  out.PutBytes(value.data(), std::min(length, value.size()));
  return {};
}

ErrorOr<std::string> TakeXattrName(Reader& in) {
  std::string_view name = TRY(in.GetString(kMaxXattrName));
  if (name.empty() || name.find('\0') != std::string_view::npos) return kEINVAL;
  return std::string(name);
}

}  // namespace

ErrorOr<void> Session::GetXattr(Reader& in, Writer& out) {
  auto request = TRY(in.Get<XattrRequest>());
  Place place = TRY(ReadTarget(in, request.target));
  std::string name = TRY(TakeXattrName(in));
  TRY(in.End());
  if (place.found.hidden || !IsServedXattr(name)) return kENODATA;
  if (!place.found.is_dir() && !place.found.is_regular()) return kENODATA;
  UniqueFd fd = TRY(service_.reopener.Reopen(place.fd(), abi::kO_RDONLY));
  return PutXattr(fd.get(), name.c_str(), out);
}

ErrorOr<void> Session::SetXattr(Reader& in) {
  auto request = TRY(in.Get<XattrRequest>());
  Place place = TRY(ReadChangeable(in, request.target));
  std::string name = TRY(TakeXattrName(in));
  auto value = TRY(in.GetSpan(request.value_length));
  TRY(in.End());
  if (request.flags & ~(kXattrCreate | kXattrReplace)) return kEINVAL;
  if (value.size() > kMaxXattrValue) return kE2BIG;
  if (!IsChangeableXattr(name)) return kEOPNOTSUPP;
  if (!place.found.is_dir() && !place.found.is_regular()) return kEPERM;
  UniqueFd fd = TRY(service_.reopener.Reopen(place.fd(), abi::kO_RDONLY));
  return host::Fsetxattr(fd.get(), name.c_str(), value.data(), value.size(), request.flags);
}

ErrorOr<void> Session::ListXattr(Reader& in, Writer& out) {
  auto request = TRY(in.Get<TargetRequest>());
  Place place = TRY(ReadTarget(in, request.target));
  TRY(in.End());
  if (place.found.hidden || (!place.found.is_dir() && !place.found.is_regular())) return {};
  UniqueFd fd = TRY(service_.reopener.Reopen(place.fd(), abi::kO_RDONLY));
  std::vector<char> list(kMaxXattrValue);
  size_t n = TRY(host::Flistxattr(fd.get(), list.data(), list.size()));
  std::string_view rest(list.data(), std::min(n, list.size()));
  while (!rest.empty()) {
    std::string_view name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (!IsServedXattr(name)) continue;
    out.PutBytes(name.data(), name.size());
    out.PutBytes("", 1);
  }
  return {};
}

ErrorOr<void> Session::RemoveXattr(Reader& in) {
  auto request = TRY(in.Get<XattrRequest>());
  Place place = TRY(ReadChangeable(in, request.target));
  std::string name = TRY(TakeXattrName(in));
  TRY(in.End());
  if (!IsChangeableXattr(name)) return kEOPNOTSUPP;
  if (!place.found.is_dir() && !place.found.is_regular()) return kEPERM;
  UniqueFd fd = TRY(service_.reopener.Reopen(place.fd(), abi::kO_RDONLY));
  return host::Fremovexattr(fd.get(), name.c_str());
}

}  // namespace moat::gofer
