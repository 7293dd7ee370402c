#include "vpn/daemon/resolver.h"

#include <netdb.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "vpn/io/udp_address_codec.h"

namespace vpn::daemon {
namespace {

Result<std::vector<UdpAddress>, Error> look_up(const config::EndpointName& endpoint, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int result =
      getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (result != 0) {
    return fail(Error{endpoint.to_string(), 0, "Endpoint",
                      std::string("does not resolve: ") + gai_strerror(result),
                      "check the name and the resolver, or write the address"});
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, freeaddrinfo);
  std::vector<UdpAddress> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, one->ai_addr, one->ai_addrlen);
    addresses.push_back(io::from_sockaddr(address));
  }
  return addresses;
}

}  // namespace

bool is_host_name(const config::EndpointName& endpoint) {
  return !look_up(endpoint, AI_NUMERICHOST).has_value();
}

Result<std::vector<UdpAddress>, Error> resolve(const config::EndpointName& endpoint) {
  return look_up(endpoint, 0);
}

BackgroundResolver::BackgroundResolver()
    : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), thread_([this] { work(); }) {}

BackgroundResolver::~BackgroundResolver() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void BackgroundResolver::ask(std::vector<config::EndpointName> endpoints) {
  const std::lock_guard lock(mutex_);
  questions_.insert(questions_.end(), endpoints.begin(), endpoints.end());
  wake_.notify_one();
}

std::vector<BackgroundResolver::Answer> BackgroundResolver::take_answers() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(event_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(answers_, {});
}

void BackgroundResolver::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return ending_ || !questions_.empty(); });
    if (ending_) return;
    const config::EndpointName question = questions_.front();
    questions_.erase(questions_.begin());
    lock.unlock();
    auto addresses = resolve(question);
    lock.lock();
    answers_.push_back({question, std::move(addresses)});
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = write(event_.get(), &one, sizeof one);
  }
}

}  // namespace vpn::daemon
