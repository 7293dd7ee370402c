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

BackgroundResolver::BackgroundResolver(Resolve resolve) : shared_(std::make_shared<Shared>()) {
  shared_->resolve = std::move(resolve);
  shared_->event = io::UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  thread_ = std::thread([shared = shared_] { work(*shared); });
}

BackgroundResolver::~BackgroundResolver() {
  bool asking = false;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->ending = true;
    asking = shared_->asking;
  }
  shared_->wake.notify_one();
  if (asking) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void BackgroundResolver::ask(std::vector<config::EndpointName> endpoints) {
  const std::lock_guard lock(shared_->mutex);
  shared_->questions.insert(shared_->questions.end(), endpoints.begin(), endpoints.end());
  shared_->wake.notify_one();
}

std::vector<BackgroundResolver::Answer> BackgroundResolver::take_answers() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(fd(), &count, sizeof count);
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->answers, {});
}

void BackgroundResolver::work(Shared& shared) {
  std::unique_lock lock(shared.mutex);
  while (true) {
    shared.wake.wait(lock, [&] { return shared.ending || !shared.questions.empty(); });
    if (shared.ending) return;
    const config::EndpointName question = shared.questions.front();
    shared.questions.erase(shared.questions.begin());
    shared.asking = true;
    lock.unlock();
    auto addresses = shared.resolve(question);
    lock.lock();
    shared.asking = false;
    shared.answers.push_back({question, std::move(addresses)});
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = write(shared.event.get(), &one, sizeof one);
  }
}

}  // namespace vpn::daemon
