// Configuration files on disk.
#pragma once

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/config.h"
#include "vpn/daemon/privileges.h"

namespace vpn::daemon {

// "wg0" stands for /etc/wireguard/wg0.conf; anything with a slash or ending in .conf is a path.
[[nodiscard]] std::string config_path(const std::string& file_or_interface);
// "wg0" of ".../wg0.conf". An error when the name is no interface name or does not end in .conf.
[[nodiscard]] Result<std::string, Error> interface_of(const std::string& path);

struct ConfigFile {
  config::Config config;
  bool readable_by_others = false;  // it holds private keys, so that deserves a warning
  config::SourceLine own_key_line;  // of a peer with the interface's own key, which is left out
};
// Reads and parses a file. As Linux does it, a peer that is this host itself is none: nor has it routes. The
// error names the file, and the line and key where one is wrong.
[[nodiscard]] Result<ConfigFile, Error> read_config(const std::string& path);
// Puts the configuration in the file's place at once; waits for whoever edits it (FileLock). A symbolic link
// stays one, and owner and mode stay. An error where the file is gone: nobody asked for a new one.
[[nodiscard]] Result<void, Error> write_config(const std::string& path, const config::Config& config);

// Whether a user may put another file in the place of this one, which takes the right to write in its folder.
[[nodiscard]] bool may_replace(const std::string& path, const UserIds& user);

}  // namespace vpn::daemon
