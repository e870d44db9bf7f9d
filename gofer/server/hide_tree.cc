#include "gofer/server/hide_tree.h"

#include "abi/fcntl.h"
#include "base/host/file.h"
#include "gofer/protocol/wire.h"

namespace moat::gofer {

ErrorOr<void> HideTree::Add(std::string_view path) {
  HideNode* node = &top_;
  std::string clean;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string_view name = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (name.empty()) continue;
    TRY(CheckName(name));
    auto& child = node->children[std::string(name)];
    if (!child) child = std::make_unique<HideNode>();
    node = child.get();
    if (!clean.empty()) clean += '/';
    clean += name;
  }
  if (clean.empty()) return kEINVAL;
  node->leaf = true;
  paths_.push_back(std::move(clean));
  return {};
}

void HideTree::Resolve(int root_fd) {
  for (const std::string& path : paths_) {
    abi::OpenHow how{abi::kO_PATH | abi::kO_CLOEXEC, 0, abi::kRESOLVE_IN_ROOT | abi::kRESOLVE_NO_MAGICLINKS};
    auto fd = host::Openat2(root_fd, path.c_str(), how);
    if (!fd.ok()) continue;  // hidden by name alone
    auto st = host::Fstat(fd->get());
    if (st.ok()) inodes_.insert({st->st_dev, st->st_ino});
  }
}

}  // namespace moat::gofer
