// Session: the keys two peers share after one handshake, the send counter and the replay window.
//
// Threads: seal() and open() are const and may run on several threads at once, each with its own Aead. Everything
// else belongs to whoever holds the Node.
#pragma once

#include <atomic>
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
  Session(PeerId peer, bool initiator, SessionIndex local, SessionIndex remote, crypto::Suite suite, Keys keys,
          Instant created) noexcept;

  [[nodiscard]] PeerId peer() const noexcept { return peer_; }
  [[nodiscard]] bool is_initiator() const noexcept { return initiator_; }
  [[nodiscard]] SessionIndex local_index() const noexcept { return local_; }
  [[nodiscard]] SessionIndex remote_index() const noexcept { return remote_; }
  [[nodiscard]] crypto::Suite suite() const noexcept { return suite_; }
  [[nodiscard]] Instant created() const noexcept { return created_; }

  // Writes a data message into `datagram`: header ‖ sealed(plain). `plain` (padding included) lies either at
  // datagram[16] or outside of it; datagram.size() == 16 + plain.size() + 16. Each counter is used once, ever.
  void seal(crypto::Aead& aead, Counter counter, BytesView plain, MutableBytes datagram) const noexcept;
  // Opens a data message in place. The plaintext is datagram[16 … size − 16); empty when the tag does not verify.
  [[nodiscard]] std::optional<MutableBytes> open(crypto::Aead& aead, Counter counter, MutableBytes datagram) const noexcept;

  [[nodiscard]] const crypto::AeadKey& send_key() const noexcept { return *keys_.send; }
  [[nodiscard]] const crypto::AeadKey& receive_key() const noexcept { return *keys_.receive; }

 private:
  friend class Peer;
  friend class Node;

  PeerId peer_;
  bool initiator_;
  SessionIndex local_;
  SessionIndex remote_;
  crypto::Suite suite_;
  Keys keys_;
  Instant created_;
  Counter next_counter_ = 0;      // the counter of the next message to send
  ReplayWindow window_;
  uint64_t carried_bytes_ = 0;    // sent plus received, for the limit by volume
};

}  // namespace vpn::core
