#include "runtime/sandbox/hide_list.h"

#include <algorithm>
#include <iterator>

namespace moat {
namespace {

constexpr std::string_view kInHome[] = {
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".config/glab-cli",
    ".netrc",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".gem/credentials",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".git-credentials",
    ".config/git/credentials",
    ".kube",
    ".docker",
    ".config/containers/auth.json",
    ".vault-token",
    ".terraform.d",
    ".pgpass",
    ".my.cnf",
    ".password-store",
    ".local/share/keyrings",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".mysql_history",
    ".psql_history",
    ".mozilla",
    ".thunderbird",
    ".config/google-chrome",
    ".config/chromium",
    ".config/BraveSoftware",
};

// The sockets of container engines and /run/user are gone anyway: /run starts empty.
constexpr std::string_view kOfSystem[] = {
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/krb5.keytab",
    "/etc/ssl/private",
    "/etc/wireguard",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/NetworkManager/system-connections",
};

constexpr std::string_view kSecretWords[] = {"TOKEN",  "KEY",        "SECRET",     "PASSWORD",
                                             "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS"};
constexpr std::string_view kSecretNames[] = {"SSH_AUTH_SOCK", "GPG_AGENT_INFO", "PGPASSFILE", "KUBECONFIG"};

}  // namespace

std::vector<std::string> DefaultHidePaths(const std::string& home) {
  std::vector<std::string> paths(std::begin(kOfSystem), std::end(kOfSystem));
  if (home.empty() || home == "/") return paths;
  for (const std::string_view path : kInHome) paths.push_back(home + "/" + std::string(path));
  return paths;
}

bool IsSecretName(std::string_view name) {
  if (std::ranges::find(kSecretNames, name) != std::end(kSecretNames)) return true;
  const std::string_view last_word = name.substr(name.rfind('_') + 1);  // npos + 1 is 0
  return std::ranges::find(kSecretWords, last_word) != std::end(kSecretWords);
}

}  // namespace moat
