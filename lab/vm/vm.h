// Running a command under another kernel: one that has netem and WireGuard where this one has neither.
//
// The machine is a User-Mode Linux kernel, built once from Debian's linux-source package and cached by its
// version and our configuration of it. It runs as an ordinary process of an ordinary user, over the host's
// own files: read-only but for the directories named. Inside, the command is root.
#pragma once

#include <string>
#include <vector>

#include "lab/error.h"

namespace lab {

enum class Machine {
  kUml,   // User-Mode Linux
  kQemu,  // QEMU with a stock Debian kernel: slow, but another kernel altogether
};

struct VmOptions {
  Machine machine = Machine::kUml;
  std::string memory = "1G";
  unsigned limit_seconds = 600;
  std::vector<std::string> writable;  // directories; the current one besides
};

// Where the kernel is, or would be: $XDG_CACHE_HOME/vpn-lab (or ~/.cache/vpn-lab), LAB_VM_CACHE before that.
[[nodiscard]] Result<std::string> cached_kernel_path();

// Builds the kernel unless it is cached. Takes some minutes, once; says so on stderr.
[[nodiscard]] Result<std::string> ensure_kernel();

// The same for QEMU: LAB_KDIR, where qemu-prep has made one ready, else Debian's own, fetched once and
// cached.
[[nodiscard]] Result<std::string> ensure_qemu_kernel();

// Whether commands can run under a machine here.
struct Readiness {
  bool ready = false;
  std::string detail;  // what will be used, or what is missing
  std::string remedy;  // where something is
};
// Found out without starting the machine.
[[nodiscard]] Readiness readiness_of(Machine machine);

// Replaces this process by the machine running `argv`; its exit status is the command's, 124 where the limit
// was reached, 125 where the machine ended without a verdict. Returns only on failure.
[[nodiscard]] Error run_in_vm(const VmOptions& options, const std::vector<std::string>& argv);

}  // namespace lab
