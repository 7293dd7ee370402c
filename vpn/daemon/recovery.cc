#include "vpn/daemon/recovery.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <set>
#include <utility>

#include "vpn/daemon/resolver.h"
#include "vpn/host/tunnel_mtu.h"
#include "vpn/io/system.h"

namespace vpn::daemon {
namespace {

// One change of a network is a burst of events; a second is what following them may take.
constexpr Duration kBurst = std::chrono::milliseconds(200);
// Two programs that fight over a route are not to do so at full speed.
constexpr Pace::Limits kRestoring{kBurst, std::chrono::seconds(1), std::chrono::seconds(60)};
constexpr Pace::Limits kFollowing{Duration{}, std::chrono::seconds(1), std::chrono::seconds(1)};
// Asking the kernel for the way to a peer, and speaking to it, take some 10 µs each.
constexpr PeerRound::Limits kFollowingRoutes{64, std::chrono::milliseconds(5)};
// Less is what the clocks themselves are apart.
constexpr Duration kLeastSleep = std::chrono::milliseconds(500);

Duration time_slept() noexcept {
  timespec awake{};
  clock_gettime(CLOCK_MONOTONIC, &awake);
  const Instant now = io::read_clock().monotonic;
  return now - Instant(std::chrono::seconds(awake.tv_sec) + std::chrono::nanoseconds(awake.tv_nsec));
}

void drain(const io::UniqueFd& timer) noexcept {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(timer.get(), &count, sizeof count);
}

}  // namespace

Result<std::unique_ptr<Recovery>, Error> Recovery::create(io::EventLoop& loop, Device& device, HostSide* host,
                                                          host::Netlink& netlink, Log& log, Actions actions) {
  std::unique_ptr<Recovery> recovery(new Recovery(loop, device, host, netlink, log, std::move(actions)));
  if (!recovery->timer_.is_open() || !recovery->clock_watch_.is_open())
    return fail(Error{"timerfd", 0, "", io::error_text(errno), "raise the limit of open files"});
  Recovery& self = *recovery;
  if (host != nullptr) self.paths_.open(device.name());
  loop.watch(self.timer_.get(), [&self] { self.on_timer(); });
  loop.watch(self.clock_watch_.get(), [&self] { self.on_clock_set(); });
  self.watch_clock();
  return recovery;
}

Recovery::Recovery(io::EventLoop& loop, Device& device, HostSide* host, host::Netlink& netlink, Log& log,
                   Actions actions)
    : loop_(loop),
      device_(device),
      host_(host),
      netlink_(netlink),
      log_(log),
      actions_(std::move(actions)),
      timer_(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)),
      clock_watch_(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)),
      slept_(time_slept()),
      restoring_(kRestoring),
      following_(kFollowing),
      round_(kFollowingRoutes),
      paths_(loop, log) {}

Recovery::~Recovery() {
  loop_.unwatch(timer_.get());
  loop_.unwatch(clock_watch_.get());
}

void Recovery::configure(const config::Config& config, const config::ResolvedEndpoints& resolved) {
  const bool is_first = config_.peers.empty();
  config_ = config;
  resolved_ = resolved;
  failover_.configure(config_, resolved_);
  if (is_first) mtu_ = host_->mtu_for(config_, resolved_);
  follow_mtu();
  note_routes();
  paths_.configure(config_, mtu_.value_or(0));
  look_at_paths_ = io::read_clock().monotonic;
  set_timer();
}

void Recovery::on_network_changed() {
  if (look_at_network_) return;
  look_at_network_ = io::read_clock().monotonic + kBurst;
  set_timer();
}

void Recovery::on_loss() {
  if (host_ == nullptr) return;
  restoring_.call(io::read_clock().monotonic);
  set_timer();
}

void Recovery::on_endpoints_changed() {
  following_.call(io::read_clock().monotonic);
}

void Recovery::follow_endpoints() {
  if (!following_.poll_timeout()) return;
  const Instant now = io::read_clock().monotonic;
  if (!following_.take_due(now)) return;
  following_.note_done(now);
  actions_.follow_endpoints();
}

void Recovery::after_round() {
  follow_endpoints();
  const auto news = device_.take_peer_news();
  for (const auto& [peer, silent] : news) {
    if (!silent) {
      failover_.on_heard(peer);
      continue;
    }
    const auto way = ways_.find(peer);
    failover_.on_silent(peer, way == ways_.end() ? std::nullopt : std::optional(way->second.endpoint),
                        io::read_clock().monotonic);
    ask_names_of(peer);
  }
  set_timer();
}

void Recovery::on_timer() {
  drain(timer_);
  timer_due_.reset();
  const Instant now = io::read_clock().monotonic;
  if (restoring_.take_due(now) && host_->restore_network()) restoring_.note_done(now);
  if (look_at_network_ && *look_at_network_ <= now) {
    look_at_network_.reset();
    follow_mtu();
    follow_routes(false);
    if (host_ != nullptr) host_->follow_other_interfaces(config_);
  }
  follow_some_routes(now);
  try_silent_peers(now);
  watch_paths(now);
  set_timer();
}

// A timer of the wall clock that is cancelled when the clock is set tells of a waking host without asking.
void Recovery::watch_clock() noexcept {
  constexpr time_t kFarAway = time_t{1} << 40;
  const itimerspec when{{}, {kFarAway, 0}};
  timerfd_settime(clock_watch_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, nullptr);
}

void Recovery::on_clock_set() {
  drain(clock_watch_);
  watch_clock();
  const Duration slept = time_slept();
  if (slept - std::exchange(slept_, slept) < kLeastSleep) return;
  log_.info("the host woke up");
  follow_mtu();
  follow_routes(true);
}

void Recovery::note_routes() {
  const auto endpoints = device_.endpoints();
  std::set<PublicKey> peers;
  for (const auto& [peer, endpoint] : endpoints) peers.insert(peer);
  std::erase_if(ways_, [&](const auto& way) { return !peers.contains(way.first); });
  note_moves(endpoints);
}

void Recovery::note_moves(const std::vector<Device::PeerEndpoint>& moves) {
  for (const auto& [peer, endpoint] : moves) {
    const auto [known, is_new] = ways_.try_emplace(peer);
    Way& way = known->second;
    // Another port, as behind a NAT, is on the same way.
    if (is_new || way.endpoint.address != endpoint.address)
      way.route = netlink_.route_to(endpoint.address, device_.fwmark());
    way.endpoint = endpoint;
  }
}

void Recovery::follow_routes(bool even_if_same) {
  note_routes();
  round_even_if_same_ = round_even_if_same_ || even_if_same;
  const Instant now = io::read_clock().monotonic;
  round_.begin(ways_.size(), now);
  follow_some_routes(now);
  set_timer();
}

void Recovery::follow_some_routes(Instant now) {
  if (!round_.take_due(now)) return;
  config::DeviceChange change;
  round_.go_on(ways_, now, [&](const PublicKey& key, Way& way) {
    const auto route = netlink_.route_to(way.endpoint.address, device_.fwmark());
    const bool is_same = route == way.route;
    if (!is_same) paths_.restart(key);
    way.route = route;
    // With no way there at all there is nothing to send; when one comes, that is a change again.
    if (!way.route || (is_same && !round_even_if_same_)) return;
    config::PeerChange& one = change.peers.emplace_back(key);
    one.update_only = true;
    one.contact = config::Contact::kRefresh;
  });
  round_told_ += change.peers.size();
  if (!round_.poll_timeout()) {
    round_even_if_same_ = false;
    const size_t told = std::exchange(round_told_, 0);
    if (told != 0) log_.info("the network changed", {{"peers_told", std::to_string(told)}});
  }
  if (!change.peers.empty()) static_cast<void>(device_.apply(change));
}

void Recovery::follow_mtu() {
  if (config_.interface.mtu || config_.peers.empty()) return;
  const uint16_t mtu = host_->mtu_for(config_, resolved_);
  if (std::exchange(mtu_, mtu) == mtu) return;
  if (auto set = netlink_.set_mtu(device_.interface_index(), mtu); !set)
    return log_.warning("MTU not changed", {{"error", set.error().to_string()}});
  log_.info("MTU follows the route", {{"mtu", std::to_string(mtu)}});
  paths_.configure(config_, mtu);
}

void Recovery::watch_paths(Instant now) {
  const auto limits = narrow_links();
  paths_.set_limits(limits);
  const auto due = paths_.poll_timeout();
  if (due && *due <= now) paths_.handle_timeout(device_.report(), now);
  look_at_paths_.reset();
  auto narrow = paths_.narrow_paths();
  for (const auto& [key, mtu] : limits) {
    const auto [known, is_new] = narrow.try_emplace(key, mtu);
    if (!is_new) known->second = std::min(known->second, mtu);
  }
  if (narrow == narrow_paths_) return;
  narrow_paths_ = narrow;
  tell_of_large_mtu();
  actions_.set_path_mtus(std::move(narrow));
}

std::map<PublicKey, uint16_t> Recovery::narrow_links() const {
  std::map<PublicKey, uint16_t> narrow;
  const uint32_t mtu = config_.interface.mtu.value_or(mtu_.value_or(0));
  for (const auto& [key, way] : ways_) {
    if (!way.route || way.route->mtu == 0) continue;
    const uint32_t room = host::tunnel_room_over(way.route->mtu, way.endpoint.address.family());
    if (room < mtu) narrow[key] = host::padded_mtu_in(room);
  }
  return narrow;
}

// Without an MTU of the configuration there is nothing that the user could mend.
void Recovery::tell_of_large_mtu() {
  uint16_t fits = 0;
  for (const auto& [key, mtu] : config_.interface.mtu ? narrow_paths_ : std::map<PublicKey, uint16_t>{})
    fits = fits == 0 ? mtu : std::min(fits, mtu);
  if (std::exchange(told_fits_, fits) == fits || fits == 0) return;
  log_.warning("MTU is more than the link to a peer takes", {{"mtu", std::to_string(*config_.interface.mtu)},
                                                             {"fits", std::to_string(fits)},
                                                             {"remedy", "leave MTU out, or set it to that"}});
}

void Recovery::try_silent_peers(Instant now) {
  config::DeviceChange change;
  for (const Failover::Attempt& attempt : failover_.take_due(now)) {
    config::PeerChange& one = change.peers.emplace_back(attempt.peer);
    one.update_only = true;
    one.endpoint = attempt.endpoint;
    one.contact = config::Contact::kReconnect;
    paths_.restart(attempt.peer);
    ask_names_of(attempt.peer);
    if (attempt.is_another)
      log_.info("another endpoint is tried", {{"endpoint", attempt.endpoint.to_string()}});
  }
  if (!change.peers.empty()) static_cast<void>(device_.apply(change));
}

void Recovery::ask_names_of(const PublicKey& key) {
  std::vector<config::EndpointName> names;
  const config::PeerConfig* const peer = config_.find_peer(key);
  if (peer == nullptr) return;
  for (const config::EndpointName& name : peer->endpoints) {
    if (is_host_name(name)) names.push_back(name);
  }
  if (!names.empty()) actions_.ask_names(std::move(names));
}

void Recovery::set_timer() {
  std::optional<Instant> due = failover_.poll_timeout();
  for (const auto& other : {look_at_network_, look_at_paths_, paths_.poll_timeout(),
                            restoring_.poll_timeout(), following_.poll_timeout(), round_.poll_timeout()}) {
    if (other) due = std::min(due.value_or(*other), *other);
  }
  if (due == timer_due_) return;
  timer_due_ = due;
  itimerspec when{};
  if (due) {
    const auto since = std::max<Duration>(due->time_since_epoch(), Duration(1));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
    when.it_value = {seconds.count(), std::chrono::nanoseconds(since - seconds).count()};
  }
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace vpn::daemon
