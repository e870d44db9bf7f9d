// The wire format between the sentry (client) and the gofer (server): see SPEC.md. Both sides include this file; neither
// believes the other. Every struct is fixed size, little endian, without padding that carries data, and copied in and out
// of message buffers (wire.h); nothing is ever used in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace moat::gofer {

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr size_t kMaxName = 255;          // NAME_MAX
inline constexpr size_t kMaxTarget = 4095;       // of a symbolic link: PATH_MAX without its NUL
inline constexpr size_t kMaxXattrName = 255;     // XATTR_NAME_MAX
inline constexpr size_t kMaxXattrValue = 65536;  // XATTR_SIZE_MAX, XATTR_LIST_MAX
inline constexpr size_t kMaxWalkNames = 32;      // components of one Walk; longer paths take several
inline constexpr size_t kMaxCloseHandles = 512;  // handles of one Close
inline constexpr size_t kMaxBatchTargets = 64;   // of one GetAttrBatch
// The largest message either way: the largest extended attribute with its request around it.
inline constexpr size_t kMaxMessage = kMaxXattrValue + 4096;

enum class Op : uint16_t {
  kAttach = 1,
  kWalk,
  kOpen,
  kCreate,
  kMkdir,
  kSymlink,
  kLink,
  kMknod,
  kUnlink,
  kRmdir,
  kRename,
  kSetAttr,
  kGetAttr,
  kGetAttrBatch,
  kReadLink,
  kReadDir,
  kGetXattr,
  kSetXattr,
  kListXattr,
  kRemoveXattr,
  kStatFs,
  kSync,
  kClose,
  kCreateUnnamed,
  kWalkMany,
};
inline constexpr uint16_t kOpCount = static_cast<uint16_t>(Op::kWalkMany) + 1;

struct RequestHeader {
  uint64_t id;      // chosen by the client, repeated in the reply; 0: no reply is sent (kClose only)
  uint16_t op;      // Op
  uint16_t zero;    // must be 0
  uint32_t length;  // of the whole message, as received
};
static_assert(sizeof(RequestHeader) == 16);

struct ReplyHeader {
  uint64_t id;
  uint16_t error;     // errno, 0: the body follows; otherwise the reply ends here
  uint16_t fd_count;  // descriptors that come with it: 0 or 1
  uint32_t length;
};
static_assert(sizeof(ReplyHeader) == 16);

// Names a directory or open file held by the gofer for this connection. 0 is never valid.
using Handle = uint32_t;

// What a request is about: a handle itself (name empty), or the entry `name` (which follows the body as a string) of the
// directory `handle`. If ino is not 0, the object found must be (dev, ino), else kESTALE.
struct Target {
  Handle handle;
  uint32_t zero;
  uint64_t dev;
  uint64_t ino;
};
static_assert(sizeof(Target) == 24);

enum AttrFlag : uint32_t {
  // Hidden by the operator or part of a pseudo file system: looks empty, cannot be changed.
  kAttrHidden = 1,
};

struct WireAttr {
  uint64_t dev, ino, rdev, size, blocks;  // device numbers in st_dev's encoding
  int64_t atime_sec, mtime_sec, ctime_sec, btime_sec;
  uint32_t atime_nsec, mtime_nsec, ctime_nsec, btime_nsec;
  uint32_t mode, nlink, uid, gid, blksize, flags;  // flags: AttrFlag
};
static_assert(sizeof(WireAttr) == 112);

struct AttachRequest {
  uint32_t version;  // kProtocolVersion
  uint32_t root;     // index in the gofer's configuration
};
enum AttachFlag : uint32_t {
  kAttachReadOnly = 1,    // every changing request on this root is refused
  kAttachUnmappedIds = 2,  // the gofer sees owners through a user namespace: 65534 may be anybody
};
struct AttachReply {
  Handle handle;
  uint32_t flags;        // AttachFlag
  uint32_t max_handles;  // how many handles this connection may hold
  uint32_t zero;
  WireAttr attr;
};

enum WalkFlag : uint16_t {
  kWalkHandles = 1,   // return a handle for each directory passed
  kWalkOpenLast = 2,  // if the last name is a regular file, open it read only and send the descriptor
};
struct WalkRequest {  // followed by `count` strings
  Handle dir;
  uint16_t count;
  uint16_t flags;
};
enum class WalkStop : uint16_t {
  kDone = 0,          // every name was found
  kSymlink = 1,       // the last component returned is a symbolic link; its target follows
  kNotDirectory = 2,  // the last component returned is not a directory, and names remain
  kHidden = 3,        // the last component returned is a hidden directory: nothing is below
  kError = 4,         // looking up the name after the last component returned failed with `error`
};
struct WalkReply {  // followed by `count` WalkComponents, then the target (string) if stop is kSymlink
  uint16_t count;
  uint16_t stop;        // WalkStop
  uint16_t error;       // of the lookup (kError)
  uint16_t open_error;  // why kWalkOpenLast brought no descriptor (0 if it did or did not apply)
};
struct WalkComponent {
  Handle handle;  // 0: none
  uint32_t zero;
  WireAttr attr;
};

enum OpenFlag : uint32_t {
  kOpenHandle = 1,  // return a handle as well
};
struct OpenRequest {  // followed by the target's name
  Target target;
  uint32_t open_flags;  // O_ACCMODE, O_APPEND, O_DIRECT, O_DSYNC, O_SYNC, O_NOATIME of open(2)
  uint32_t flags;       // OpenFlag
};
struct NewNode {
  uint32_t mode;  // permission bits
  uint32_t uid, gid;
};
struct CreateRequest {  // followed by a name; kCreateUnnamed: by no name
  Handle dir;
  NewNode node;
  uint32_t open_flags;  // as OpenRequest
  uint32_t flags;       // OpenFlag
};
struct MkdirRequest {  // followed by a name
  Handle dir;
  NewNode node;
};
struct SymlinkRequest {  // followed by the name and the target
  Handle dir;
  NewNode node;  // mode is ignored
};
struct MknodRequest {  // followed by a name
  Handle dir;
  uint32_t type;  // S_IFREG, S_IFIFO, S_IFSOCK
  NewNode node;
};
// The reply of everything that makes or opens a node.
struct NodeReply {
  Handle handle;  // 0: none was asked for
  uint32_t zero;
  WireAttr attr;
};
struct LinkRequest {  // followed by the source's name and the new name; replied with AttrReply
  Target source;
  Handle dir;
  uint32_t zero;
};
struct UnlinkRequest {  // kUnlink and kRmdir; followed by a name
  Handle dir;
  uint32_t flags;  // UnlinkFlag
  uint64_t dev, ino;  // as in Target
};
enum UnlinkFlag : uint32_t {
  kUnlinkKeep = 1,  // the reply holds a handle to the file that lost its name
};
struct RenameRequest {  // followed by the old and the new name; replied with NodeReply: what was replaced (ino 0: nothing)
  Handle old_dir, new_dir;
  uint32_t flags;       // RENAME_NOREPLACE, RENAME_EXCHANGE
  uint32_t keep_flags;  // UnlinkFlag, about the file that is replaced
};
struct SetAttrRequest {  // followed by the target's name; replied with AttrReply
  Target target;
  uint32_t mask;  // SetAttrMask
  uint32_t mode, uid, gid;
  uint64_t size;
  int64_t atime_sec, mtime_sec;
  uint32_t atime_nsec, mtime_nsec;
};
enum SetAttrMask : uint32_t { kSetMode = 1, kSetUid = 2, kSetGid = 4, kSetSize = 8, kSetAtime = 16, kSetMtime = 32 };
struct TargetRequest {  // kGetAttr, kReadLink, kListXattr, kStatFs, kSync; followed by the target's name
  Target target;
  uint32_t flags;  // kSync: SyncFlag
  uint32_t zero;
};
enum SyncFlag : uint32_t {
  kSyncData = 1,        // fdatasync
  kSyncFileSystem = 2,  // syncfs
};
struct AttrReply {
  WireAttr attr;
};
// kWalkMany: followed by `count` walks (WalkRequest and names); replied with itself, `count` being the walks that were made,
// and as many of what kWalk replies with. No descriptors. The first error of a request as such ends it.
struct BatchRequest {  // kGetAttrBatch: followed by `count` of (Target, name); replied with itself and `count` BatchEntries
  uint32_t count;
  uint32_t zero;
};
struct BatchEntry {
  uint32_t error;
  uint32_t zero;
  WireAttr attr;
};

enum ReadDirFlag : uint32_t {
  kReadDirHandle = 1,  // return a handle for the directory that the target's name led to
};
struct ReadDirRequest {  // followed by the target's name
  Target target;       // a directory, or a stream returned by an earlier kReadDir
  uint32_t max_bytes;  // of the reply
  uint32_t flags;      // ReadDirFlag
  uint64_t cookie;     // 0: from the start, else DirEntry::next of the last entry taken
};
struct ReadDirReply {  // followed by `count` of (DirEntry, name)
  Handle stream;  // where to go on (close it afterwards); 0: the whole directory was returned
  uint32_t count;
  uint32_t end;  // 1: nothing follows these entries
  Handle directory;  // kReadDirHandle; 0: none
};
struct DirEntry {  // "." and ".." are left out
  uint64_t next;  // never 0
  uint64_t ino;
  uint32_t type;      // DT_*
  uint32_t has_attr;  // 0: attr is zero
  WireAttr attr;
};

struct XattrRequest {  // kGetXattr, kSetXattr, kRemoveXattr; followed by the target's name, the attribute's name, the value
  Target target;
  uint32_t flags;  // kSetXattr: XATTR_CREATE, XATTR_REPLACE
  uint32_t value_length;
};
inline constexpr std::string_view kXattrAclAccess = "system.posix_acl_access";
inline constexpr std::string_view kXattrAclDefault = "system.posix_acl_default";
inline constexpr std::string_view kXattrFileCapabilities = "security.capability";
constexpr bool IsChangeableXattr(std::string_view name) {
  return name.starts_with("user.") || name == kXattrAclAccess || name == kXattrAclDefault;
}
// Everything else (trusted, security labels of the host) does not exist for a guest: kENODATA, which a client need not ask for.
constexpr bool IsServedXattr(std::string_view name) { return IsChangeableXattr(name) || name == kXattrFileCapabilities; }
// kGetXattr and kListXattr reply with bytes up to the end of the message; kReadLink too.

struct StatFsReply {
  int64_t type, bsize, frsize, namelen;
  uint64_t blocks, bfree, bavail, files, ffree, flags;
};

struct CloseRequest {  // followed by `count` handles
  uint32_t count;
  uint32_t zero;
};

}  // namespace moat::gofer
