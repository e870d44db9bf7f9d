#include "runtime/sandbox/users.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "runtime/util/failure.h"

namespace moat {
namespace {

using Fields = std::vector<std::string_view>;

Fields Split(std::string_view text, char separator) {
  Fields fields;
  for (;;) {
    const size_t end = text.find(separator);
    fields.push_back(text.substr(0, end));
    if (end == text.npos) return fields;
    text.remove_prefix(end + 1);
  }
}

// 4294967295 is -1, "no id", in every call.
std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == UINT32_MAX) return std::nullopt;
  return id;
}

// name:password:uid:gid:...
std::optional<Fields> FindPasswd(const std::string& passwd, size_t field, std::string_view value) {
  for (const std::string_view line : Split(passwd, '\n')) {
    Fields fields = Split(line, ':');
    if (fields.size() >= 4 && fields[field] == value && ParseId(fields[2]) && ParseId(fields[3]))
      return fields;
  }
  return std::nullopt;
}

// name:password:gid:member,member
std::vector<uint32_t> GroupsOf(const std::string& group, std::string_view user) {
  std::vector<uint32_t> groups;
  for (const std::string_view line : Split(group, '\n')) {
    const Fields fields = Split(line, ':');
    if (fields.size() < 4) continue;
    const std::optional<uint32_t> gid = ParseId(fields[2]);
    for (const std::string_view member : Split(fields[3], ',')) {
      if (gid && member == user) groups.push_back(*gid);
    }
  }
  return groups;
}

}  // namespace

UserIds ResolveUser(const std::string& spec, const std::string& passwd, const std::string& group) {
  const Fields parts = Split(spec, ':');
  if (const std::optional<uint32_t> uid = ParseId(parts[0])) {
    if (parts.size() > 2) throw Failure("--user " + spec + ": want UID[:GID] or a name");
    if (parts.size() == 2) {
      const std::optional<uint32_t> gid = ParseId(parts[1]);
      if (!gid) throw Failure("--user " + spec + ": the group is not a number");
      return {*uid, *gid, {}};
    }
    const std::optional<Fields> entry = FindPasswd(passwd, 2, parts[0]);
    return {*uid, entry ? *ParseId((*entry)[3]) : *uid, {}};
  }
  const std::optional<Fields> entry = FindPasswd(passwd, 0, spec);
  if (!entry || spec.empty()) throw Failure("--user " + spec + ": no such user in the sandbox's /etc/passwd");
  return {*ParseId((*entry)[2]), *ParseId((*entry)[3]), GroupsOf(group, spec)};
}

}  // namespace moat
