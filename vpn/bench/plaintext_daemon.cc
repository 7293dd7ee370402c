// vpn_bench_plaintext INTERFACE: the daemon with everything but the ciphers: what a tunnel of this design
// costs before cryptography, the ceiling that `lab bench` holds the real one against. It protects nothing and
// talks to nobody but itself.
#include <cstdio>

#include "vpn/config/text.h"
#include "vpn/crypto/initialize.h"
#include "vpn/daemon/daemon.h"

int main(int argc, char** argv) {
  if (argc != 2 || !vpn::config::is_interface_name(argv[1])) {
    std::fputs("usage: vpn_bench_plaintext INTERFACE (a daemon without cryptography, for 'lab bench')\n",
               stderr);
    return 2;
  }
  vpn::crypto::initialize();
  vpn::daemon::DaemonOptions options;
  options.interface = argv[1];
  return vpn::daemon::run_daemon(options);
}
