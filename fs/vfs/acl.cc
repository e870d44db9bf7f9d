#include "fs/vfs/acl.h"

#include <cstring>

namespace moat {

namespace {
constexpr uint32_t kVersion = 2;  // POSIX_ACL_XATTR_VERSION
bool Grants(uint32_t perm, int may) { return (static_cast<int>(perm) & may) == may; }
}  // namespace

std::optional<Acl> Acl::Parse(std::string_view value) {
  uint32_t version;
  if (value.size() < sizeof version || (value.size() - sizeof version) % sizeof(Entry)) return std::nullopt;
  memcpy(&version, value.data(), sizeof version);
  if (version != kVersion) return std::nullopt;
  Acl acl;
  acl.entries_.resize((value.size() - sizeof version) / sizeof(Entry));
  if (acl.entries_.empty()) return std::nullopt;
  memcpy(acl.entries_.data(), value.data() + sizeof version, acl.entries_.size() * sizeof(Entry));
  if (!acl.Valid()) return std::nullopt;
  return acl;
}

std::string Acl::Serialize() const {
  std::string out(sizeof kVersion + entries_.size() * sizeof(Entry), '\0');
  memcpy(out.data(), &kVersion, sizeof kVersion);
  memcpy(out.data() + sizeof kVersion, entries_.data(), entries_.size() * sizeof(Entry));
  return out;
}

bool Acl::Valid() const {
  int user_obj = 0, group_obj = 0, mask = 0, other = 0, named = 0;
  uint16_t last = 0;
  for (const Entry& e : entries_) {
    if (e.perm & ~7u || e.tag < last) return false;
    last = e.tag;
    switch (e.tag) {
      case kUserObj: ++user_obj; break;
      case kGroupObj: ++group_obj; break;
      case kMask: ++mask; break;
      case kOther: ++other; break;
      case kUser:
      case kGroup: ++named; break;
      default: return false;
    }
  }
  return user_obj == 1 && group_obj == 1 && other == 1 && mask <= 1 && (named == 0 || mask == 1);
}

const Acl::Entry* Acl::Find(Tag tag) const {
  for (const Entry& e : entries_) {
    if (e.tag == tag) return &e;
  }
  return nullptr;
}

bool Acl::Allows(const Credentials& creds, const Attr& attr, int may) const {
  const Entry* mask_entry = Find(kMask);
  uint32_t mask = mask_entry ? mask_entry->perm : 7;
  for (const Entry& e : entries_) {
    if (e.tag == kUserObj && attr.uid == creds.fsuid) return Grants(e.perm, may);
    if (e.tag == kUser && e.id == creds.fsuid) return Grants(e.perm & mask, may);
  }
  bool group_matched = false;
  for (const Entry& e : entries_) {
    bool mine = (e.tag == kGroupObj && creds.InGroup(attr.gid)) || (e.tag == kGroup && creds.InGroup(e.id));
    if (!mine) continue;
    group_matched = true;
    if (Grants(e.perm & mask, may)) return true;
  }
  return !group_matched && Grants(Find(kOther)->perm, may);
}

uint32_t Acl::Mode() const {
  const Entry* group = Find(kMask);
  if (!group) group = Find(kGroupObj);
  return static_cast<uint32_t>(Find(kUserObj)->perm << 6 | group->perm << 3 | Find(kOther)->perm);
}

void Acl::ApplyMode(uint32_t mode) {
  Tag group = Find(kMask) ? kMask : kGroupObj;
  for (Entry& e : entries_) {
    if (e.tag == kUserObj) e.perm = (mode >> 6) & 7;
    if (e.tag == group) e.perm = (mode >> 3) & 7;
    if (e.tag == kOther) e.perm = mode & 7;
  }
}

}  // namespace moat
