// DnsProcess: sets the name servers for a daemon that has given its rights away.
//
// A confined daemon can start no resolvconf, and as another user it may not write in /etc. So a process is
// forked before, which keeps its rights, and does nothing but set and unset the name servers of one
// interface.
#pragma once

#include <string>
#include <string_view>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/host/dns.h"
#include "vpn/host/host_change.h"
#include "vpn/io/process.h"

namespace vpn::host {

class DnsProcess {
 public:
  // To be made before there are threads, and before anything secret is read. `background`: without the
  // terminal.
  DnsProcess(const std::string& interface, bool background);

  // As may_set_dns, set_dns and unset_dns of dns.h; they wait for the other process.
  [[nodiscard]] Result<bool, Error> may_set(DnsMethod method) const;
  [[nodiscard]] Result<bool, Error> set(DnsMethod method, unsigned index, const SetDns& dns) const;
  [[nodiscard]] Result<bool, Error> unset(std::string_view method) const;

 private:
  [[nodiscard]] Result<bool, Error> ask(const std::string& question) const;

  io::Companion process_;
};

}  // namespace vpn::host
