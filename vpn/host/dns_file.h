// /etc/resolv.conf: replaced by ours, and put back.
//
// The former file, or symbolic link, is kept beside it as resolv.conf.before-INTERFACE, the very same inode;
// ours takes its place by one rename, and so does the former one when it comes back. So a power cut at any
// point leaves a whole file, and one that tells how to go on.
#pragma once

#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/host_change.h"

namespace vpn::host {

class DnsFile {
 public:
  explicit DnsFile(const std::string& interface, std::string path = "/etc/resolv.conf");

  // Nothing, or why replace() would fail.
  [[nodiscard]] Result<bool, Error> may_replace() const;
  // After an error all is as before.
  [[nodiscard]] Result<bool, Error> replace(const SetDns& dns) const;
  // True: the former file is back, or there was nothing to put back. False: somebody has changed ours
  // meanwhile; that one stays, and the former one is gone.
  [[nodiscard]] Result<bool, Error> restore() const;
  // Whether a former file is kept.
  [[nodiscard]] bool is_replaced() const noexcept;

 private:
  [[nodiscard]] Error failed(const std::string& what, int error_number) const;

  std::string interface_;
  std::string path_;
  std::string former_;
};

}  // namespace vpn::host
