// POSIX access control lists (acl(5)) as the extended attributes system.posix_acl_* hold them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/kern/credentials.h"
#include "fs/vfs/attr.h"

namespace moat {

class Acl {
 public:
  // Nullopt: not a valid ACL (the required entries once each, in order, a mask if there are named ones).
  static std::optional<Acl> Parse(std::string_view value);
  std::string Serialize() const;

  // The access check, for a caller that is not the file's owner by mode bits alone.
  bool Allows(const Credentials& creds, const Attr& attr, int may) const;
  // The permission bits that the ACL shows as.
  uint32_t Mode() const;
  // True if the mode bits say all that the ACL says.
  bool IsMinimal() const { return entries_.size() == 3; }
  // chmod(2) of a file with this ACL.
  void ApplyMode(uint32_t mode);

 private:
  enum Tag : uint16_t { kUserObj = 1, kUser = 2, kGroupObj = 4, kGroup = 8, kMask = 16, kOther = 32 };
  struct Entry {
    uint16_t tag;
    uint16_t perm;
    uint32_t id;
  };
  static_assert(sizeof(Entry) == 8);
  bool Valid() const;
  const Entry* Find(Tag tag) const;

  std::vector<Entry> entries_;
};

}  // namespace moat
