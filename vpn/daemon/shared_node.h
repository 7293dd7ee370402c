// SharedNode: the Node of a device, which its workers and its control plane use, and who may use it when.
//
// Two locks, always taken in this order:
//   - `control` is held for whatever is no packet of the data path: a handshake message, timers, sending what
//     the node wants sent, changes of the configuration. One thread at a time does such things.
//   - `data` is held for every call of the node. What is held for how long: a batch of at most 64 packets
//     being routed and counted, or looked at after they were opened (5 to 10 µs), or one short call. It is
//     never held during a packet's cryptography, nor during a handshake's: the Node lets go of it then, so
//     that the other workers' packets pass by the 0.1 to 0.2 ms that a handshake message takes. What does
//     hold it longer: a new private key (40 µs for each peer; sessions cannot send after it anyway), and
//     sending what was staged, once a session.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>

#include "vpn/core/node.h"

namespace vpn::daemon {

// A mutex that is tried for some microseconds before the thread sleeps: the owner gives it back sooner than a
// thread is woken (about 30 µs from one core to another).
class BriefMutex final : public core::DataLock {
 public:
  void lock() noexcept override;
  void unlock() noexcept override { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class SharedNode {
 public:
  using Clock = std::function<Now()>;

  // `random` must outlive it. `clock` is asked with the lock held, so that the node's time never runs back.
  SharedNode(crypto::RandomSource& random, const core::NodeOptions& options, Clock clock);

  // The node, for calls of the data path and for reading, until the object goes.
  class Data {
   public:
    ~Data();
    Data(const Data&) = delete;
    Data& operator=(const Data&) = delete;
    [[nodiscard]] core::Node* operator->() const noexcept { return &shared_.node_; }
    [[nodiscard]] Now now() const noexcept { return now_; }
    // By data().
    explicit Data(SharedNode& shared) noexcept;

   private:
    SharedNode& shared_;
    std::lock_guard<BriefMutex> lock_;
    Now now_;
  };
  [[nodiscard]] Data data() noexcept { return Data(*this); }

  // The node for everything.
  class Control {
   public:
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;
    [[nodiscard]] core::Node* operator->() const noexcept { return data_->operator->(); }
    [[nodiscard]] Now now() const noexcept { return data_->now(); }
    // Gives the data path back early; the control plane stays ours, and the node must not be used any more.
    void release_data() noexcept { data_.reset(); }
    // By control() and try_control(): `lock` holds the control plane of `shared`.
    Control(std::unique_lock<std::mutex> lock, SharedNode& shared) noexcept;

   private:
    std::unique_lock<std::mutex> lock_;
    std::optional<Data> data_;
  };
  // Waits until it is to be had: perhaps long, while the configuration changes.
  [[nodiscard]] Control control() noexcept;
  // Empty when another thread is at it.
  [[nodiscard]] std::optional<Control> try_control() noexcept;

  // Whether poll_transmit() may have something. To be asked without the lock, as what follows.
  [[nodiscard]] bool has_transmits() const noexcept { return has_transmits_.load(); }
  // For workers beside the main loop: true once when events wait to be told, or a timer is due sooner than
  // the main loop knows, until the main loop looks.
  [[nodiscard]] bool claim_main_loop() noexcept {
    return wants_main_loop_.load() && !main_loop_claimed_.exchange(true);
  }
  // There is something to tell.
  void want_main_loop() noexcept { wants_main_loop_.store(true); }
  // For the main loop: whether anything of that sort is to be done.
  [[nodiscard]] bool main_loop_is_wanted() noexcept {
    main_loop_claimed_.store(false);
    return has_transmits() || wants_main_loop_.load();
  }
  // It is done: events are taken, and the timer is set to what the node wants next.
  void note_main_loop_done(const Control& control) noexcept;

 private:
  void look(const core::Node& node) noexcept;

  std::mutex control_mutex_;
  BriefMutex data_mutex_;
  Clock clock_;
  core::Node node_;
  std::optional<Instant> timer_set_;  // what the main loop has set; guarded by data_mutex_
  std::atomic<bool> has_transmits_ = false;
  std::atomic<bool> wants_main_loop_ = false;
  std::atomic<bool> main_loop_claimed_ = false;
};

}  // namespace vpn::daemon
