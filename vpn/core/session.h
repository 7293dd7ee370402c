// Session: the keys two peers share after one handshake, the send counter and the replay window.
//
// Threads: seal() and open() are const and may run on several threads at once, each with its own Aead.
// Everything else belongs to whoever holds the Node.
#pragma once

#include <memory>
#include <optional>

#include "vpn/base/bytes.h"
#include "vpn/base/ids.h"
#include "vpn/base/time.h"
#include "vpn/core/replay_window.h"
#include "vpn/crypto/aead.h"

namespace vpn::core {

class Session {
 public:
  struct Keys {
    std::unique_ptr<crypto::AeadKey> send;
    std::unique_ptr<crypto::AeadKey> receive;
  };
  // `local` is the index we receive under, `remote` the one the peer does.
  Session(PeerId peer, bool initiator, SessionIndex local, SessionIndex remote, crypto::Suite suite,
          Keys keys, Instant created) noexcept;

  [[nodiscard]] PeerId peer() const noexcept { return peer_; }
  [[nodiscard]] bool is_initiator() const noexcept { return initiator_; }
  [[nodiscard]] SessionIndex local_index() const noexcept { return local_; }
  [[nodiscard]] SessionIndex remote_index() const noexcept { return remote_; }
  [[nodiscard]] crypto::Suite suite() const noexcept { return suite_; }
  [[nodiscard]] Instant created() const noexcept { return created_; }

  // Writes a data message into `datagram`: header ‖ sealed(plain). `plain` (padding included) lies either at
  // datagram[16] or outside of it; datagram.size() == 16 + plain.size() + 16. Each counter is used once,
  // ever.
  void seal(crypto::Aead& aead, Counter counter, BytesView plain, MutableBytes datagram) const noexcept;
  // Opens a data message of at least 32 bytes in place. The plaintext is datagram[16 … size − 16); empty when
  // the tag does not verify.
  [[nodiscard]] std::optional<MutableBytes> open(crypto::Aead& aead, Counter counter,
                                                 MutableBytes datagram) const noexcept;

  [[nodiscard]] const crypto::AeadKey& send_key() const noexcept { return *keys_.send; }
  [[nodiscard]] const crypto::AeadKey& receive_key() const noexcept { return *keys_.receive; }

  // ── For the owner of the Node ──

  // Whether a message may be sent on it now: young enough, counters left, and not barred by a change of our
  // key.
  [[nodiscard]] bool may_send(Instant now) const noexcept;
  [[nodiscard]] bool may_receive(Instant now) const noexcept;
  // Takes `count` counters; the first is returned. may_send() has been asked. Empty when not that many are
  // left.
  [[nodiscard]] std::optional<Counter> reserve_counters(size_t count) noexcept;
  [[nodiscard]] Counter next_counter() const noexcept { return next_counter_; }
  // Skips ahead, never back: for tests of what happens near the limits.
  void advance_counter(Counter next) noexcept;
  void bar_sending() noexcept { sending_barred_ = true; }

  [[nodiscard]] ReplayWindow& window() noexcept { return window_; }
  void add_carried_bytes(uint64_t bytes) noexcept { carried_bytes_ += bytes; }
  [[nodiscard]] uint64_t carried_bytes() const noexcept { return carried_bytes_; }

 private:
  PeerId peer_;
  bool initiator_;
  bool sending_barred_ = false;
  crypto::Suite suite_;
  SessionIndex local_;
  SessionIndex remote_;
  Keys keys_;
  Instant created_;
  Counter next_counter_ = 0;
  uint64_t carried_bytes_ = 0;  // sent plus received, for the limit by volume
  ReplayWindow window_;
};

}  // namespace vpn::core
