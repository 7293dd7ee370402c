// The program `vpn`; and `vpn-wireguard INTERFACE`, the same program under the name that wg-quick calls.
#include <unistd.h>

#include <iostream>

#include "vpn/cli/command_line.h"

int main(int argc, char** argv) {
  const std::string_view path = argc > 0 ? argv[0] : "";
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  vpn::cli::Io io{std::cin, std::cout, std::cerr, STDOUT_FILENO};
  const bool is_stand_in = path.substr(path.rfind('/') + 1) == "vpn-wireguard";
  return is_stand_in ? vpn::cli::run_stand_in(arguments, io) : vpn::cli::run_command_line(arguments, io);
}
