#include "vpn/daemon/config_file.h"

#include <sys/stat.h>

#include <filesystem>

#include "vpn/config/ini.h"
#include "vpn/config/text.h"
#include "vpn/crypto/x25519.h"
#include "vpn/daemon/text_file.h"

namespace vpn::daemon {
namespace {

constexpr std::string_view kSuffix = ".conf";

void leave_out_own_key(ConfigFile& file) {
  const auto& private_key = file.config.interface.private_key;
  if (!private_key || private_key->is_zero()) return;
  const PublicKey own = crypto::derive_public_key(private_key->view());
  std::erase_if(file.config.peers, [&](const config::PeerConfig& peer) {
    if (peer.public_key == own) file.own_key_line = peer.line;
    return peer.public_key == own;
  });
}

}  // namespace

std::string config_path(const std::string& file_or_interface) {
  const bool is_path =
      file_or_interface.find('/') != std::string::npos || file_or_interface.ends_with(kSuffix);
  return is_path ? file_or_interface : "/etc/wireguard/" + file_or_interface + std::string(kSuffix);
}

Result<std::string, Error> interface_of(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  if (name.ends_with(kSuffix)) {
    name.resize(name.size() - kSuffix.size());
    if (config::is_interface_name(name)) return name;
  }
  return fail(Error{path, 0, "", "the file's name does not give an interface's name",
                    "name it INTERFACE.conf, with 1 to 15 letters, digits or _=+.-"});
}

Result<ConfigFile, Error> read_config(const std::string& path) {
  const auto file = read_text_file(path);
  if (!file) return fail(file.error());
  auto config = config::parse_ini(file->text.view(), path);
  if (!config) return fail(std::move(config.error()));
  ConfigFile read{std::move(*config), (file->status.st_mode & S_IROTH) != 0, {}};
  leave_out_own_key(read);
  return read;
}

Result<void, Error> write_config(const std::string& path, const config::Config& config) {
  const SecretText text(config::to_ini(config));
  const auto lock = FileLock::take(path);
  if (!lock) return fail(lock.error());
  const auto file = read_text_file(path);
  if (!file) return fail(file.error());
  return replace_file(path, text.view(), file->status);
}

bool may_replace(const std::string& path, const UserIds& user) {
  std::error_code error;
  const std::filesystem::path target = std::filesystem::canonical(path, error);
  struct stat folder {};
  if (error || stat(target.parent_path().c_str(), &folder) != 0) return false;
  if (user.user == 0) return true;
  const mode_t bit = folder.st_uid == user.user ? S_IWUSR : folder.st_gid == user.group ? S_IWGRP : S_IWOTH;
  return (folder.st_mode & bit) != 0;
}

}  // namespace vpn::daemon
