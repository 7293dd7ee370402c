#include "vpn/core/session.h"

#include <algorithm>

#include "vpn/base/check.h"
#include "vpn/core/constants.h"
#include "vpn/wire/messages.h"

namespace vpn::core {

Session::Session(PeerId peer, bool initiator, SessionIndex local, SessionIndex remote, crypto::Suite suite,
                 Keys keys, Instant created) noexcept
    : peer_(peer),
      initiator_(initiator),
      suite_(suite),
      local_(local),
      remote_(remote),
      keys_(std::move(keys)),
      created_(created) {}

void Session::seal(crypto::Aead& aead, Counter counter, BytesView plain,
                   MutableBytes datagram) const noexcept {
  VPN_CHECK(datagram.size() == plain.size() + wire::kDataOverheadBytes);
  wire::encode_data_header(remote_, counter, datagram.first<wire::kDataHeaderBytes>());
  aead.seal(*keys_.send, counter, {}, plain, datagram.subspan(wire::kDataHeaderBytes));
}

std::optional<MutableBytes> Session::open(crypto::Aead& aead, Counter counter,
                                          MutableBytes datagram) const noexcept {
  VPN_CHECK(datagram.size() >= wire::kDataOverheadBytes);
  const MutableBytes sealed = datagram.subspan(wire::kDataHeaderBytes);
  const MutableBytes plain = sealed.first(sealed.size() - wire::kTagBytes);
  if (!aead.open(*keys_.receive, counter, {}, sealed, plain)) return std::nullopt;
  return plain;
}

bool Session::may_send(Instant now) const noexcept {
  return !sending_barred_ && now - created_ < kRejectAfterTime - kSendMargin &&
         next_counter_ < kRejectAfterMessages;
}

bool Session::may_receive(Instant now) const noexcept {
  return now - created_ < kRejectAfterTime;
}

std::optional<Counter> Session::reserve_counters(size_t count) noexcept {
  if (next_counter_ >= kRejectAfterMessages || count > kRejectAfterMessages - next_counter_)
    return std::nullopt;
  const Counter first = next_counter_;
  next_counter_ += count;
  return first;
}

void Session::advance_counter(Counter next) noexcept {
  next_counter_ = std::max(next_counter_, next);
}

}  // namespace vpn::core
