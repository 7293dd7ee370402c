// Configuration files on disk: reading one whole, and replacing one so that nobody ever sees half of it.
#pragma once

#include <sys/stat.h>

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/cli/secret_text.h"

namespace vpn::cli {

struct TextFile {
  SecretText text;
  struct stat status {};
};
// The whole file, at most 64 MiB.
[[nodiscard]] Result<TextFile, Error> read_text_file(const std::string& path);

}  // namespace vpn::cli
