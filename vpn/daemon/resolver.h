// Endpoint names to addresses.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "vpn/base/error.h"
#include "vpn/base/result.h"
#include "vpn/config/device_change.h"
#include "vpn/io/unique_fd.h"

namespace vpn::daemon {

// Whether the host is a name, so that its address may change.
[[nodiscard]] bool is_host_name(const config::EndpointName& endpoint);
// Asks the system's resolver, which may take seconds, for all addresses of both families, the one to try
// first in front (RFC 6724). An address needs no asking.
[[nodiscard]] Result<std::vector<UdpAddress>, Error> resolve(const config::EndpointName& endpoint);

// Resolves in a thread of its own, so that packets need not wait.
class BackgroundResolver {
 public:
  using Resolve = std::function<Result<std::vector<UdpAddress>, Error>(const config::EndpointName&)>;
  explicit BackgroundResolver(Resolve resolve = daemon::resolve);
  // Does not wait for a question being asked, which where no name server answers takes half a minute: the
  // thread ends by itself after it.
  ~BackgroundResolver();
  BackgroundResolver(const BackgroundResolver&) = delete;
  BackgroundResolver& operator=(const BackgroundResolver&) = delete;

  // Queues the questions behind those that wait; each gets one answer. Never waits for a resolver.
  void ask(std::vector<config::EndpointName> endpoints);
  // Readable when answers are there.
  [[nodiscard]] int fd() const noexcept { return shared_->event.get(); }
  struct Answer {
    config::EndpointName endpoint;
    Result<std::vector<UdpAddress>, Error> addresses;
  };
  // What was answered since the last call, in the order asked; fd() is then no longer readable.
  [[nodiscard]] std::vector<Answer> take_answers();

 private:
  // Of this object and the thread; whichever goes last takes it along.
  struct Shared {
    Resolve resolve;
    io::UniqueFd event;
    std::mutex mutex;
    std::condition_variable wake;
    bool ending = false;
    bool asking = false;
    std::vector<config::EndpointName> questions;
    std::vector<Answer> answers;
  };
  static void work(Shared& shared);

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace vpn::daemon
