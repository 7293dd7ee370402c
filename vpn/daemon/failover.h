// Failover: which address of a silent peer is tried next, and when. Pure: time is handed in.
//
// A peer with several addresses (several Endpoint lines, or a name with several addresses) is tried at the
// next one as soon as it is silent, and then at each in turn, kFailoverStep apart. After a round through all
// of them the steps double, up to kLongestFailoverStep, for ever. A peer with one address has its first
// attempt when the protocol's own attempts have ended. Where it was heard last, if that is none of them, is
// tried in its turn too: it may be the path there that was broken. Where a peer answers, it stays.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "vpn/base/ids.h"
#include "vpn/base/ip_address.h"
#include "vpn/base/time.h"
#include "vpn/config/config.h"
#include "vpn/config/device_change.h"

namespace vpn::daemon {

inline constexpr Duration kFailoverStep = std::chrono::seconds(10);
inline constexpr Duration kLongestFailoverStep = std::chrono::seconds(300);
inline constexpr Duration kAttemptsOfTheProtocol = std::chrono::seconds(90);

class Failover {
 public:
  // Who has which addresses from now on. A silent peer goes on where it was, if it is still there.
  void configure(const config::Config& config, const config::ResolvedEndpoints& resolved);
  // `current`: where it was spoken to in vain.
  void on_silent(const PublicKey& peer, const std::optional<UdpAddress>& current, Instant now);
  void on_heard(const PublicKey& peer) noexcept { silent_.erase(peer); }
  [[nodiscard]] bool is_silent(const PublicKey& peer) const noexcept { return silent_.contains(peer); }

  // When take_due() has something to give.
  [[nodiscard]] std::optional<Instant> poll_timeout() const noexcept;
  struct Attempt {
    PublicKey peer;
    UdpAddress endpoint;
    bool is_another = false;  // than the one before
  };
  // The attempts that are due, one a silent peer at most; each sets when its next one is.
  [[nodiscard]] std::vector<Attempt> take_due(Instant now);

 private:
  struct Silence {
    std::optional<UdpAddress> current;
    std::optional<UdpAddress> roamed_to;  // where it was heard, if that is no candidate
    size_t attempts = 0;
    Instant due{};
  };
  std::map<PublicKey, std::vector<UdpAddress>> candidates_;
  std::map<PublicKey, Silence> silent_;
};

}  // namespace vpn::daemon
