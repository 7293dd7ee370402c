#include "vpn/host/host_state.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "vpn/host/dns_file.h"
#include "vpn/host/fault_point.h"
#include "vpn/host/sessions.h"
#include "vpn/host/sysctl.h"

namespace vpn::host {
namespace {

const HostChange& change_of(const HostChange& change) noexcept {
  return change;
}
const HostChange& change_of(const auto& applied) noexcept {
  return applied.change;
}

// Finds a change among many thousands (a country's networks, a gateway's peers) without looking at each. The
// list must outlive it; whatever takes another's place there must be about the same.
template <typename List>
class Lookup {
 public:
  explicit Lookup(const List& list) : list_(list) { catch_up(); }
  // To be called when something was added at the list's end.
  void catch_up() {
    for (; known_count_ < list_.size(); ++known_count_)
      positions_.emplace(subject_of(change_of(list_[known_count_])), known_count_);
  }
  // Whether the list has just this change.
  [[nodiscard]] bool has(const HostChange& change) const {
    return find(change, [&](const HostChange& one) { return one == change; }).has_value();
  }
  // Where the list has what `change` replaces, or is replaced by.
  [[nodiscard]] std::optional<size_t> counterpart_of(const HostChange& change) const {
    return find(change, [&](const HostChange& one) { return replaces(change, one); });
  }

 private:
  template <typename Predicate>
  std::optional<size_t> find(const HostChange& change, Predicate is_sought) const {
    const auto [first, last] = positions_.equal_range(subject_of(change));
    const auto found = std::find_if(
        first, last, [&](const auto& entry) { return is_sought(change_of(list_[entry.second])); });
    return found == last ? std::nullopt : std::optional(found->second);
  }

  const List& list_;
  size_t known_count_ = 0;
  std::multimap<Subject, size_t> positions_;
};

}  // namespace

Result<std::unique_ptr<HostState>, Error> HostState::open(Netlink& netlink, const std::string& interface,
                                                          std::chrono::milliseconds patience) {
  auto journal = Journal::open(interface, patience);
  if (!journal) return fail(std::move(journal.error()));
  std::unique_ptr<HostState> state(new HostState(netlink, std::move(*journal), interface));
  for (const JournalEntry& entry : state->journal_.found()) {
    state->applied_.push_back({entry.change, true, entry.id, entry.former});
  }
  // After a power cut there is no journal, but a file that was kept; as there is where another network
  // namespace, which has the same /etc, has an interface of this name.
  const bool has_dns = std::any_of(state->applied_.begin(), state->applied_.end(), [](const Applied& one) {
    return std::holds_alternative<SetDns>(one.change);
  });
  if (!has_dns && DnsFile(interface).is_replaced() && !Journal::is_locked_elsewhere(interface))
    state->applied_.push_back({SetDns{}, true, 0, std::string(dns_method_name(DnsMethod::kFile))});
  return state;
}

Result<Firewall*, Error> HostState::firewall() {
  if (!firewall_) {
    auto opened = Firewall::open();
    if (!opened) return fail(std::move(opened.error()));
    firewall_ = std::move(*opened);
  }
  return &*firewall_;
}

Result<bool, Error> HostState::check(const HostPlan& plan) {
  const HostPlan ours = applied();
  const Lookup known(ours);
  const bool has_rules = std::any_of(ours.begin(), ours.end(), [](const HostChange& one) {
    return std::holds_alternative<AddMarkRule>(one);
  });
  for (const HostChange& change : plan) {
    const auto* const rule = std::get_if<AddMarkRule>(&change);
    if (rule == nullptr || has_rules || !netlink_.has_rule_of_ours(rule->family)) continue;
    return fail(Error{interface_, 0, "AllowedIPs", "another full tunnel is up",
                      "take it down, or make one of the two a split tunnel"});
  }
  for (const HostChange& change : plan) {
    if (known.has(change)) continue;
    Result<bool, Error> fine = true;
    const auto* const set = std::get_if<SetSysctl>(&change);
    if (set != nullptr && set->along_with.empty()) {
      const auto now = read_sysctl(set->name);
      if (!now) return fail(now.error());
      if (*now != set->value) fine = may_write_sysctl(set->name);
    } else if (std::holds_alternative<SetFirewall>(change)) {
      if (auto opened = firewall(); !opened) return fail(std::move(opened.error()));
    } else if (std::holds_alternative<SetDns>(change)) {
      const DnsMethod method = find_dns_method();
      fine = dns_process_ ? dns_process_->may_set(method) : may_set_dns(method, interface_);
    } else if (const auto* route = std::get_if<AddRoute>(&change)) {
      if (!known.counterpart_of(change) && netlink_.has_route(route->destination, route->table)) {
        return fail(Error{interface_, 0, "AllowedIPs",
                          "there is a route to " + route->destination.to_string() + " in table " +
                              std::to_string(route->table) + " already",
                          "take the prefix out of AllowedIPs, or choose another Table"});
      }
    }
    if (!fine) return fine;
  }
  return true;
}

Result<HostState::Applied, Error> HostState::look(const HostChange& change) {
  Applied applied{change};
  if (std::holds_alternative<SetDns>(change)) applied.former = dns_method_name(find_dns_method());
  const auto* const set = std::get_if<SetSysctl>(&change);
  if (set == nullptr) return applied;
  auto former = read_sysctl(set->name);
  if (!former) return fail(std::move(former.error()));
  if (!set->along_with.empty()) {
    const auto others = former_of_others(*set);
    const auto cause = read_sysctl(set->along_with);
    applied.ours = others || !cause || *cause != "1";
    applied.former = others.value_or(*former);
    return applied;
  }
  // Where another tunnel has set it, who is the last to need it puts back what was there before the first.
  const auto shared = *former == set->value ? former_of_others(*set) : std::nullopt;
  applied.ours = *former != set->value || shared;
  applied.former = shared ? *shared : *former;
  return applied;
}

Result<bool, Error> HostState::announce(Changes& changes) {
  std::vector<JournalEntry> entries;
  std::vector<Applied*> announced;
  for (Applied& one : changes) {
    if (!one.ours || one.id != 0 || ends_with_interface(one.change)) continue;
    entries.push_back({0, one.change, one.former});
    announced.push_back(&one);
  }
  if (auto done = journal_.announce(entries); !done) return done;
  for (size_t index = 0; index < entries.size(); ++index) announced[index]->id = entries[index].id;
  return true;
}

Result<bool, Error> HostState::make(const Applied& applied, bool replaces) {
  const HostChange& change = applied.change;
  if (!applied.ours) return true;
  if (const auto* add = std::get_if<AddAddress>(&change)) return netlink_.add_address(index_, add->address);
  if (const auto* add = std::get_if<AddRoute>(&change))
    return netlink_.add_route(index_, *add, replaces ? Existing::kIsReplaced : Existing::kRefuses);
  if (const auto* add = std::get_if<AddMarkRule>(&change)) return netlink_.add_mark_rule(*add);
  if (const auto* set = std::get_if<SetSysctl>(&change))
    return set->along_with.empty() ? write_sysctl(set->name, set->value) : true;
  if (const auto* set = std::get_if<SetDns>(&change)) {
    const DnsMethod method = dns_method_of(applied.former);
    return dns_process_ ? dns_process_->set(method, index_, *set) : set_dns(method, interface_, index_, *set);
  }
  auto tables = firewall();
  if (!tables) return fail(std::move(tables.error()));
  return (*tables)->run(firewall_commands(std::get<SetFirewall>(change).spec));
}

// What another tunnel that has set the same will put back; empty: no other has.
std::optional<std::string> HostState::former_of_others(const SetSysctl& set) const {
  for (const std::string& name : Journal::interfaces()) {
    if (name == interface_) continue;
    for (const JournalEntry& entry : Journal::standing(name)) {
      const auto* const other = std::get_if<SetSysctl>(&entry.change);
      if (other != nullptr && *other == set) return entry.former;
    }
  }
  return std::nullopt;
}

Result<bool, Error> HostState::undo_sysctl(const SetSysctl& set, const std::string& former) {
  const auto now = read_sysctl(set.name);
  if (now && *now == former) return true;
  if (former_of_others(set)) return true;
  if (!set.along_with.empty()) return now ? write_sysctl(set.name, former) : true;
  if (!now || *now != set.value) {
    notes_.push_back(set.name + (now ? " is " + *now + " by now" : " is gone") + ", and is left so");
    return true;
  }
  return write_sysctl(set.name, former);
}

Result<bool, Error> HostState::undo(const Applied& applied) {
  if (!applied.ours) return true;
  const HostChange& change = applied.change;
  if (const auto* add = std::get_if<AddAddress>(&change))
    return netlink_.remove_address(index_, add->address);
  if (const auto* add = std::get_if<AddRoute>(&change)) return netlink_.remove_route(index_, *add);
  if (const auto* add = std::get_if<AddMarkRule>(&change)) return netlink_.remove_mark_rule(*add);
  if (const auto* set = std::get_if<SetSysctl>(&change)) return undo_sysctl(*set, applied.former);
  if (std::holds_alternative<SetDns>(change)) {
    auto restored =
        dns_process_ ? dns_process_->unset(applied.former) : unset_dns(applied.former, interface_);
    if (restored && !*restored)
      notes_.emplace_back("the name servers were changed meanwhile, and are left so");
    return restored;
  }
  auto tables = firewall();
  if (!tables) return fail(std::move(tables.error()));
  // The tunnel's addresses went before. While the kill switch stands nothing gets past it.
  if (const size_t left = break_connections_from(std::get<SetFirewall>(change).spec.own_addresses); left != 0)
    notes_.push_back(std::to_string(left) +
                     " connections of the tunnel could not be broken, as the kernel has no " +
                     "CONFIG_INET_DIAG_DESTROY, and may go on in clear");
  return (*tables)->run(no_firewall_commands(interface_));
}

Result<bool, Error> HostState::undo_noted(const Applied& applied) {
  fault_point();
  auto undone = undo(applied);
  fault_point();
  if (undone) journal_.note_undone(applied.id);
  return undone;
}

HostPlan HostState::applied() const {
  HostPlan plan;
  for (const Applied& one : applied_) plan.push_back(one.change);
  return plan;
}

Result<bool, Error> HostState::change_to(const HostPlan& plan) {
  const Changes before = applied_;
  const Lookup wanted(plan);
  Changes kept;
  for (auto one = applied_.rbegin(); one != applied_.rend(); ++one) {
    if (wanted.has(one->change) || wanted.counterpart_of(one->change)) {
      kept.push_back(*one);
    } else if (auto undone = undo_noted(*one); !undone) {
      return undone;
    }
  }
  std::reverse(kept.begin(), kept.end());
  auto fresh = find_fresh(plan, kept);
  if (!fresh) return fail(std::move(fresh.error()));
  if (auto announced = announce(*fresh); !announced) return announced;
  fault_point();
  applied_ = kept;
  Lookup standing(applied_);
  for (size_t index = 0; index < fresh->size(); ++index) {
    const Applied& one = (*fresh)[index];
    const auto earlier = standing.counterpart_of(one.change);
    auto made = make(one, earlier.has_value());
    fault_point();
    if (!made) {
      fresh->resize(index + 1);
      put_back(before, kept, *fresh);
      return made;
    }
    // What is replaced keeps its place in the order of undoing.
    if (earlier) {
      const uint64_t replaced = std::exchange(applied_[*earlier], one).id;
      if (replaced != one.id) journal_.note_undone(replaced);
    } else {
      applied_.push_back(one);
      standing.catch_up();
    }
  }
  return true;
}

// Whether what the journal has of `earlier` serves to undo `later` too.
bool HostState::is_told_by(const Applied& earlier, const Applied& later) {
  return earlier.id != 0 && announcement_line({0, earlier.change, earlier.former}) ==
                                announcement_line({0, later.change, later.former});
}

// What of the plan does not stand yet.
Result<HostState::Changes, Error> HostState::find_fresh(const HostPlan& plan, const Changes& kept) {
  const Lookup known(kept);
  Changes fresh;
  for (const HostChange& change : plan) {
    if (known.has(change)) continue;
    auto one = look(change);
    if (!one) return fail(std::move(one.error()));
    if (const auto earlier = known.counterpart_of(change)) {
      one->former = kept[*earlier].former;
      if (is_told_by(kept[*earlier], *one)) one->id = kept[*earlier].id;
    }
    fresh.push_back(std::move(*one));
  }
  return fresh;
}

// After the last of `made` has failed: `kept` stood through it all, what else was in `before` has been
// undone.
void HostState::put_back(const Changes& before, const Changes& kept, const Changes& made) {
  const Lookup stood(kept);
  for (auto one = made.rbegin(); one != made.rend(); ++one) {
    const auto earlier = stood.counterpart_of(one->change);
    if (!earlier) {
      static_cast<void>(undo_noted(*one));
    } else if (make(kept[*earlier], true) && one->id != kept[*earlier].id) {
      journal_.note_undone(one->id);
    }
  }
  applied_.clear();
  for (const Applied& earlier : before) {
    Changes again{earlier};
    if (!stood.has(earlier.change)) {
      again.front().id = 0;
      if (!announce(again) || !make(again.front(), false)) continue;
    }
    applied_.push_back(again.front());
  }
}

Result<bool, Error> HostState::restore_firewall() {
  for (const Applied& one : applied_) {
    if (!one.ours || !std::holds_alternative<SetFirewall>(one.change)) continue;
    auto tables = firewall();
    if (!tables) return fail(std::move(tables.error()));
    if ((*tables)->has_table(table_name(interface_))) return false;
    return make(one, true);
  }
  return false;
}

// Whether it was missing; false also for what is of another kind.
Result<bool, Error> HostState::add_missing(const HostChange& change) {
  if (const auto* add = std::get_if<AddAddress>(&change)) return netlink_.add_address(index_, add->address);
  // Another tunnel's goes with that one, and is followed.
  const auto* const route = std::get_if<AddRoute>(&change);
  if (route != nullptr && route->other_tunnel == 0)
    return netlink_.add_route(index_, *route, Existing::kStays);
  if (const auto* add = std::get_if<AddMarkRule>(&change)) return netlink_.add_mark_rule(*add);
  return false;
}

HostState::Restored HostState::restore_network() {
  Restored restored;
  restored.is_up = netlink_.is_up(index_).value_or(false);
  for (const Applied& one : applied_) {
    if (!restored.is_up && ends_with_interface(one.change)) continue;
    const auto added = add_missing(one.change);
    if (!added) {
      restored.failures.push_back(added.error());
    } else if (*added) {
      restored.added.push_back(one.change);
    }
  }
  return restored;
}

std::vector<Error> HostState::undo_all(KillSwitchAtEnd kill_switch) {
  std::vector<Error> failures;
  Changes left;
  for (auto one = applied_.rbegin(); one != applied_.rend(); ++one) {
    const auto* const firewall = std::get_if<SetFirewall>(&one->change);
    const bool stays =
        kill_switch == KillSwitchAtEnd::kLeave && firewall != nullptr && firewall->spec.kill_switch;
    if (stays) {
      left.insert(left.begin(), *one);
    } else if (auto undone = undo_noted(*one); !undone) {
      failures.push_back(std::move(undone.error()));
      left.insert(left.begin(), *one);
    }
  }
  applied_ = std::move(left);
  if (applied_.empty()) journal_.remove();
  return failures;
}

Result<CleanupReport, Error> clean_up(const std::string& interface, std::chrono::milliseconds patience) {
  auto netlink = Netlink::open();
  if (!netlink) return fail(std::move(netlink.error()));
  auto state = HostState::open(*netlink, interface, patience);
  if (!state) return fail(std::move(state.error()));
  CleanupReport report;
  report.undone_count = (*state)->applied().size();
  report.failures = (*state)->undo_all();
  report.notes = (*state)->take_notes();
  report.undone_count -= report.failures.size();
  return report;
}

bool is_served(const std::string& interface) {
  return Journal::is_locked(interface);
}

std::vector<std::string> leftovers_elsewhere() {
  return Journal::files_of_other_namespaces();
}

std::vector<std::string> interfaces_with_leftovers() {
  std::vector<std::string> names = Journal::interfaces();
  constexpr std::string_view kKept = "resolv.conf.before-";
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/etc", ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kKept)) continue;
    const size_t end =
        name.ends_with(".absent") ? name.size() - std::string_view(".absent").size() : name.size();
    names.push_back(name.substr(kKept.size(), end - kKept.size()));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace vpn::host
