// StateDirectory: where a lab keeps what must outlive a command: /run/vpn-lab/NAME for root, else
// $XDG_RUNTIME_DIR/vpn-lab/NAME. LAB_STATE names another place than …/vpn-lab.
//
//   keeper        process and start time of the lab's keeper
//   control.sock  how the verbs talk to it          (see keeper.h)
//   lab.json      what stands: name, topology, seed, the process that holds each host
//   events.jsonl  what happened, one JSON object a line
//   fates.jsonl   what became of each packet that a link did not just carry
//   keys.log      the long-term keys of every VPN daemon, as Wireshark reads them
//   logs/         output of daemons and services
//   hosts/H/run   /run of host H; IF.keys in it: the keys of its sessions
//   hosts/H/etc   what H has changed of /etc
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lab/error.h"
#include "lab/kernel/unique_fd.h"

namespace lab {

// A process that no other can be mistaken for, though numbers are used again.
struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat

  // Of a process that runs; nothing where none has the number.
  [[nodiscard]] static std::optional<ProcessId> of(pid_t pid);
  // Running, and not about to end.
  [[nodiscard]] bool is_alive() const;
  // Gone, or a zombie. Of the first process of a PID namespace that says the same of all others in it.
  [[nodiscard]] bool has_ended() const;
};

class StateDirectory {
 public:
  explicit StateDirectory(std::string name) : name_(std::move(name)) {}

  // The folder of all labs: $LAB_STATE, or root's, or the user's own (lab/README.md).
  [[nodiscard]] static std::string root();
  // All labs of this user, standing or left behind by a crash, sorted.
  [[nodiscard]] static std::vector<std::string> names();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string path() const { return root() + "/" + name_; }
  [[nodiscard]] std::string file(const std::string& relative) const { return path() + "/" + relative; }
  // Whether there is such a lab, standing, coming up, or left behind. Other folders, and names that no lab
  // can have, are none.
  [[nodiscard]] bool exists() const;
  // Makes the directory and claims it; an Error where it stands already.
  [[nodiscard]] Result<UniqueFd> create() const;
  // Has the lab for oneself until the descriptor is closed: `up`, `down` and `cleanup` keep others of them
  // off it. An Error where somebody else has it longer than `patience`, or where there is no such directory.
  [[nodiscard]] Result<UniqueFd> claim(std::chrono::milliseconds patience) const;
  [[nodiscard]] Result<void> make_directory(const std::string& relative) const;
  // Removes it with all that is in it, and the root where that was the last.
  [[nodiscard]] Result<void> remove() const;

  // Notes which process keeps the lab.
  [[nodiscard]] Result<void> write_keeper(const ProcessId& keeper) const;
  // The last that was written, whether it runs or not.
  [[nodiscard]] std::optional<ProcessId> keeper() const;
  // Nothing where there is none, or it no longer runs.
  [[nodiscard]] std::optional<ProcessId> live_keeper() const;

 private:
  [[nodiscard]] Error somebody_at_work() const;
  // Makes the root and the directory, whatever others remove meanwhile; whether it was not there before.
  [[nodiscard]] Result<bool> make() const;

  std::string name_;
};

// Connects to a stream socket in the file system, however long its path is.
[[nodiscard]] Result<UniqueFd> connect_unix(const std::string& path);
// Listens on one, mode 0600.
[[nodiscard]] Result<UniqueFd> listen_unix(const std::string& path);
// Reads until the far side closes, or until `end` ends what was read, at most 16 MiB; waits no longer than
// ten seconds. `where` names the far side in an Error.
[[nodiscard]] Result<std::string> read_until(const UniqueFd& socket, const std::string& where,
                                             const std::string& end);
[[nodiscard]] Result<void> write_all(const UniqueFd& socket, const std::string& where,
                                     const std::string& text);

}  // namespace lab
