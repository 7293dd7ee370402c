#include "lab/topology/topology.h"

#include <algorithm>

namespace lab {
namespace {

template <typename Kind, size_t N>
std::optional<Kind> parse_kind(const std::array<std::string_view, N>& names, std::string_view text) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) return std::nullopt;
  return static_cast<Kind>(found - names.begin());
}

constexpr std::array<std::string_view, 4> kEngineNames = {"auto", "netem", "wire", "veth"};
constexpr std::array<std::string_view, 4> kNatNames = {"full-cone", "restricted", "port-restricted",
                                                       "symmetric"};
constexpr std::array<std::string_view, 4> kServiceNames = {"http", "dns", "iperf3", "command"};

template <typename T>
const T* find_named(const std::vector<T>& all, std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const T& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

std::string_view to_string(Engine engine) {
  return kEngineNames[static_cast<size_t>(engine)];
}
std::optional<Engine> parse_engine(std::string_view text) {
  return parse_kind<Engine>(kEngineNames, text);
}
std::string_view to_string(NatKind kind) {
  return kNatNames[static_cast<size_t>(kind)];
}
std::optional<NatKind> parse_nat_kind(std::string_view text) {
  return parse_kind<NatKind>(kNatNames, text);
}
std::string_view to_string(ServiceKind kind) {
  return kServiceNames[static_cast<size_t>(kind)];
}
std::optional<ServiceKind> parse_service_kind(std::string_view text) {
  return parse_kind<ServiceKind>(kServiceNames, text);
}

std::optional<Impairment> find_in_course(const Weather& weather,
                                         const std::function<bool(const Impairment&)>& is_sought) {
  Impairment in_force = weather.initial;
  if (is_sought(in_force)) return in_force;
  for (const ScheduledChange& change : weather.schedule) {
    (void)set_impairments(in_force, change.change);  // what cannot be read changes nothing
    if (is_sought(in_force)) return in_force;
  }
  return std::nullopt;
}

const Host* Topology::find_host(std::string_view name) const {
  return find_named(hosts, name);
}
const Link* Topology::find_link(std::string_view name) const {
  return find_named(links, name);
}
const Switch* Topology::find_switch(std::string_view name) const {
  return find_named(switches, name);
}

bool is_valid_name(std::string_view name, size_t longest) {
  return !name.empty() && name.size() <= longest && is_name_start(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_name_start(c) || c == '-' || c == '_'; });
}

}  // namespace lab
