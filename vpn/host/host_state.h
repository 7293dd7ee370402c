// HostState: what has been changed on the host for one interface, and how it is undone.
#pragma once

#include <string>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"
#include "vpn/host/netlink.h"

namespace vpn::host {

class HostState {
 public:
  // `netlink` must outlive it.
  HostState(Netlink& netlink, unsigned interface) noexcept : netlink_(netlink), interface_(interface) {}
  HostState(const HostState&) = delete;
  HostState& operator=(const HostState&) = delete;

  // Makes the host what `plan` says: undoes, newest first, what is no longer in it, then makes in order what
  // is new. When one change fails everything is put back as it was before the call, and the error is
  // returned.
  [[nodiscard]] Result<bool, Error> change_to(const HostPlan& plan);
  // Undoes everything, newest first; goes on after a failure. Returns the failures.
  std::vector<Error> undo_all();

  [[nodiscard]] HostPlan applied() const;

 private:
  struct Applied {
    HostChange change;
    bool ours = true;         // false: it was so already, and stays when we go
    std::string former = {};  // a sysctl's value before
  };
  [[nodiscard]] Result<Applied, Error> apply(const HostChange& change);
  [[nodiscard]] Result<bool, Error> undo(const Applied& applied);

  Netlink& netlink_;
  unsigned interface_;
  std::vector<Applied> applied_;
};

}  // namespace vpn::host
