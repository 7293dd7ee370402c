// Lab: a standing lab, or one to be brought up. What the verbs of `lab` do, as a library.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lab/error.h"
#include "lab/run/capture.h"
#include "lab/run/state_directory.h"
#include "lab/topology/topology.h"
#include "vpn/config/uapi.h"

namespace lab {

struct UpOptions {
  std::string name = "lab";
  std::optional<uint64_t> seed;  // none: drawn
};

class Lab {
 public:
  // Builds the topology and returns once it stands: every daemon configured, every service started. On an
  // Error nothing is left. The keeper goes on when the caller ends.
  [[nodiscard]] static Result<Lab> up(Topology topology, const UpOptions& options = {});
  // A lab that stands.
  [[nodiscard]] static Result<Lab> open(const std::string& name);
  // Takes a lab down, whether it stands, its keeper was killed, or only files of it are left. An Error where
  // there is no such lab.
  [[nodiscard]] static Result<void> down(const std::string& name);
  // Removes what is left of labs whose keeper no longer runs; returns their names.
  [[nodiscard]] static Result<std::vector<std::string>> cleanup();

  [[nodiscard]] const std::string& name() const { return state_.name(); }
  [[nodiscard]] const StateDirectory& state() const { return state_; }

  // Runs a program in the host, with this process's input and output, and returns its exit status, or 128 +
  // signal.
  [[nodiscard]] Result<int> run(const std::string& host, const std::vector<std::string>& argv) const;

  // Changes the weather of a link: "loss=5% delay=20ms", "clear". `link` is LINK, or LINK:SENDER for one
  // direction.
  [[nodiscard]] Result<void> impair(const std::string& link, const std::string& change) const;
  [[nodiscard]] Result<void> set_link_up(const std::string& link, bool up) const;
  // Writes what passes a link, or a host, to a pcapng file until a limit is reached or SIGINT comes; returns
  // how many packets. Of a link each packet is there once, as it was sent. The calling process is of no other
  // use afterwards.
  [[nodiscard]] Result<Captured> capture(const std::string& link_or_host, const std::string& file,
                                         CaptureLimits limits, const std::function<void()>& ready) const;
  // The process that holds a host's namespaces open, as this process numbers it.
  [[nodiscard]] Result<pid_t> holder_of(const std::string& host) const;
  // What the kernel's WireGuard, which has no control socket, tells of an interface in a host.
  [[nodiscard]] Result<vpn::config::DeviceReport> kernel_report(const std::string& host,
                                                                const std::string& interface) const;
  // What stands now, as JSON (lab/README.md describes it); of each daemon also what its control socket says.
  [[nodiscard]] Result<std::string> status_json() const;

 private:
  Lab(StateDirectory state, ProcessId keeper) : state_(std::move(state)), keeper_(keeper) {}
  // Sends one request to the keeper and returns its answer's "ok", as JSON text.
  [[nodiscard]] Result<std::string> ask(const std::string& request) const;

  StateDirectory state_;
  ProcessId keeper_;
};

}  // namespace lab
