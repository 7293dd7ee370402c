// The program `vpn`; and `vpn-wireguard INTERFACE`, the same program under the name that wg-quick calls.
#include <sodium.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string_view>

#include "vpn/base/check.h"
#include "vpn/cli/verbs.h"

namespace vpn::cli {
namespace {

constexpr std::string_view kUserspaceName = "vpn-wireguard";
constexpr int kUsageError = 2;

int run_verb(int argc, char** argv) {
  CLI::App app("A VPN that speaks WireGuard", "vpn");
  app.require_subcommand(1);
  int exit_code = 0;
  add_daemon_verbs(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  return exit_code;
}

}  // namespace

int report_error(const Error& error) {
  std::fprintf(stderr, "vpn: %s\n", error.to_string().c_str());
  return 1;
}

}  // namespace vpn::cli

int main(int argc, char** argv) {
  VPN_CHECK(sodium_init() >= 0);
  const std::string_view path = argc > 0 ? argv[0] : "";
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (name != vpn::cli::kUserspaceName) return vpn::cli::run_verb(argc, argv);
  if (argc == 2 && argv[1][0] != '-') return vpn::cli::run_as_userspace_implementation(argv[1]);
  std::fprintf(stderr, "usage: vpn-wireguard INTERFACE\n");
  return vpn::cli::kUsageError;
}
