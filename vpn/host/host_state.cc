#include "vpn/host/host_state.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

namespace vpn::host {
namespace {

std::string sysctl_path(const std::string& name) {
  return "/proc/sys/" + name;
}

Result<std::string, Error> read_sysctl(const std::string& name) {
  std::ifstream file(sysctl_path(name));
  std::string value;
  if (!std::getline(file, value)) {
    return fail(Error{sysctl_path(name), 0, "", "cannot be read", "the kernel must have it"});
  }
  return value;
}

Result<bool, Error> write_sysctl(const std::string& name, const std::string& value) {
  std::ofstream file(sysctl_path(name));
  file << value << std::flush;
  if (!file)
    return fail(
        Error{sysctl_path(name), 0, "", "cannot be set to " + value, "set it yourself, or run as root"});
  return true;
}

bool contains(const HostPlan& plan, const HostChange& change) {
  return std::find(plan.begin(), plan.end(), change) != plan.end();
}

}  // namespace

Result<HostState::Applied, Error> HostState::apply(const HostChange& change) {
  const auto applied = [&](Done done) -> Result<Applied, Error> {
    if (!done) return fail(std::move(done.error()));
    return Applied{change, *done};
  };
  if (const auto* add = std::get_if<AddAddress>(&change))
    return applied(netlink_.add_address(interface_, add->address));
  if (const auto* add = std::get_if<AddRoute>(&change)) {
    return applied(netlink_.add_route(interface_, add->destination, add->table));
  }
  if (const auto* add = std::get_if<AddMarkRule>(&change)) {
    return applied(netlink_.add_mark_rule(add->family, add->mark, add->table));
  }
  if (const auto* add = std::get_if<AddSuppressRule>(&change))
    return applied(netlink_.add_suppress_rule(add->family));
  const auto& set = std::get<SetSysctl>(change);
  auto former = read_sysctl(set.name);
  if (!former) return fail(std::move(former.error()));
  if (*former == set.value) return Applied{change, false};
  if (auto written = write_sysctl(set.name, set.value); !written) return fail(std::move(written.error()));
  return Applied{change, true, *former};
}

Result<bool, Error> HostState::undo(const Applied& applied) {
  if (!applied.ours) return true;
  const HostChange& change = applied.change;
  if (const auto* add = std::get_if<AddAddress>(&change))
    return netlink_.remove_address(interface_, add->address);
  if (const auto* add = std::get_if<AddRoute>(&change)) {
    return netlink_.remove_route(interface_, add->destination, add->table);
  }
  if (const auto* add = std::get_if<AddMarkRule>(&change)) {
    return netlink_.remove_mark_rule(add->family, add->mark, add->table);
  }
  if (const auto* add = std::get_if<AddSuppressRule>(&change))
    return netlink_.remove_suppress_rule(add->family);
  return write_sysctl(std::get<SetSysctl>(change).name, applied.former);
}

HostPlan HostState::applied() const {
  HostPlan plan;
  for (const Applied& one : applied_) plan.push_back(one.change);
  return plan;
}

Result<bool, Error> HostState::change_to(const HostPlan& plan) {
  const std::vector<Applied> before = applied_;
  std::vector<Applied> kept;
  for (auto one = applied_.rbegin(); one != applied_.rend(); ++one) {
    if (contains(plan, one->change)) {
      kept.insert(kept.begin(), *one);
    } else if (auto undone = undo(*one); !undone) {
      return undone;
    }
  }
  applied_ = std::move(kept);
  const size_t first_new = applied_.size();
  for (const HostChange& change : plan) {
    if (contains(applied(), change)) continue;
    auto one = apply(change);
    if (one) {
      applied_.push_back(std::move(*one));
      continue;
    }
    while (applied_.size() > first_new) {
      static_cast<void>(undo(applied_.back()));
      applied_.pop_back();
    }
    for (const Applied& earlier : before) {
      if (contains(applied(), earlier.change)) continue;
      if (auto again = apply(earlier.change)) applied_.push_back(std::move(*again));
    }
    return fail(std::move(one.error()));
  }
  return true;
}

std::vector<Error> HostState::undo_all() {
  std::vector<Error> failures;
  while (!applied_.empty()) {
    if (auto undone = undo(applied_.back()); !undone) failures.push_back(std::move(undone.error()));
    applied_.pop_back();
  }
  return failures;
}

}  // namespace vpn::host
