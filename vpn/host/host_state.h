// HostState: what has been changed on the host for one interface, and how it is undone, now or after a crash.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/dns.h"
#include "vpn/host/dns_process.h"
#include "vpn/host/firewall.h"
#include "vpn/host/host_change.h"
#include "vpn/host/journal.h"
#include "vpn/host/netlink.h"

namespace vpn::host {

enum class KillSwitchAtEnd : uint8_t { kLift, kLeave };

class HostState {
 public:
  // Opens the interface's journal, and takes over what it tells of. `netlink` must outlive the state.
  // Whoever has the journal now is given `patience` to end.
  [[nodiscard]] static Result<std::unique_ptr<HostState>, Error> open(
      Netlink& netlink, const std::string& interface, std::chrono::milliseconds patience = {});
  HostState(const HostState&) = delete;
  HostState& operator=(const HostState&) = delete;

  // The tunnel's index, as soon as it exists; before, nothing that needs the interface can be changed.
  void set_interface(unsigned index) noexcept { index_ = index; }
  // From now on the name servers are set by that process, which must outlive the state: this one is confined.
  void set_dns_by(const DnsProcess& process) noexcept { dns_process_ = &process; }
  [[nodiscard]] Journal& journal() noexcept { return journal_; }

  // Nothing, or why change_to(plan) would fail; looks only.
  [[nodiscard]] Result<bool, Error> check(const HostPlan& plan);
  // Makes the host what `plan` says: undoes, newest first, what is no longer in it, then makes in order what
  // is new. What is replaced by a thing of its kind is so in one step. When one change fails everything is
  // put back as it was before the call, and the error is returned.
  [[nodiscard]] Result<bool, Error> change_to(const HostPlan& plan);
  // Makes the firewall again that stands by our doing, where somebody else has taken it away. False where
  // there is none to be, or it is there.
  [[nodiscard]] Result<bool, Error> restore_firewall();
  struct Restored {
    HostPlan added;
    std::vector<Error> failures;
    bool is_up = true;  // the interface
  };
  // Adds again what of our addresses, routes and rules somebody else has removed, but, while the interface is
  // down, nothing that needs it up. Somebody else's route that has taken the place of ours stays. Goes on
  // after a failure.
  [[nodiscard]] Restored restore_network();
  // Undoes everything, newest first, but a kill switch that is to stay; goes on after a failure. What could
  // not be undone is returned, and stays in the journal; with all undone the journal goes too.
  std::vector<Error> undo_all(KillSwitchAtEnd kill_switch = KillSwitchAtEnd::kLift);

  // What stands now by our doing, oldest first, also what was so already.
  [[nodiscard]] HostPlan applied() const;
  // What was left as it is because somebody else has changed it meanwhile; each once.
  [[nodiscard]] std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

 private:
  struct Applied {
    HostChange change;
    bool ours = true;         // false: it was so already, and stays when we go
    uint64_t id = 0;          // in the journal; 0: it is not in there
    std::string former = {};  // a sysctl's value before; who has the name servers
  };
  using Changes = std::vector<Applied>;
  HostState(Netlink& netlink, Journal journal, std::string interface)
      : netlink_(netlink), journal_(std::move(journal)), interface_(std::move(interface)) {}

  [[nodiscard]] Result<Applied, Error> look(const HostChange& change);
  [[nodiscard]] Result<bool, Error> announce(Changes& changes);
  [[nodiscard]] Result<bool, Error> make(const Applied& change, bool replaces);
  [[nodiscard]] Result<bool, Error> add_missing(const HostChange& change);
  [[nodiscard]] Result<bool, Error> undo(const Applied& applied);
  [[nodiscard]] Result<bool, Error> undo_sysctl(const SetSysctl& set, const std::string& former);
  [[nodiscard]] std::optional<std::string> former_of_others(const SetSysctl& set) const;
  [[nodiscard]] Result<bool, Error> undo_noted(const Applied& applied);
  [[nodiscard]] Result<Changes, Error> find_fresh(const HostPlan& plan, const Changes& kept);
  [[nodiscard]] static bool is_told_by(const Applied& earlier, const Applied& later);
  void put_back(const Changes& before, const Changes& kept, const Changes& made);
  [[nodiscard]] Result<Firewall*, Error> firewall();

  Netlink& netlink_;
  Journal journal_;
  std::string interface_;
  unsigned index_ = 0;
  const DnsProcess* dns_process_ = nullptr;
  std::optional<Firewall> firewall_;
  Changes applied_;
  std::vector<std::string> notes_;
};

struct CleanupReport {
  size_t undone_count = 0;
  std::vector<std::string> notes;  // see HostState::take_notes
  std::vector<Error> failures;     // what could not be undone, and stays in the journal
};
// Undoes what a daemon that is gone has left of an interface; an error when one is running after `patience`.
[[nodiscard]] Result<CleanupReport, Error> clean_up(const std::string& interface,
                                                    std::chrono::milliseconds patience = {});
// Whether a running daemon has this interface's journal.
[[nodiscard]] bool is_served(const std::string& interface);
// The interfaces that have something to clean up, sorted; also those that a daemon serves.
[[nodiscard]] std::vector<std::string> interfaces_with_leftovers();

// The files that tell of what is to clean up in other network namespaces, where those still are.
[[nodiscard]] std::vector<std::string> leftovers_elsewhere();

}  // namespace vpn::host
