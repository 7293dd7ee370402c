#include "vpn/host/journal_text.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

namespace vpn::host {
namespace {

using nlohmann::json;

std::string line_of(const json& object) {
  // A name, or a value that a sysctl had, need not be UTF-8; that must not end the daemon.
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

json to_json(const HostChange& change) {
  if (const auto* add = std::get_if<AddRoute>(&change)) {
    json object = {{"kind", "route"},
                   {"destination", add->destination.to_string()},
                   {"table", add->table},
                   {"route", add->kind}};
    if (add->other_tunnel != 0) object["other_tunnel"] = add->other_tunnel;
    return object;
  }
  if (const auto* add = std::get_if<AddMarkRule>(&change)) {
    return {{"kind", "rule"},
            {"family", add->family},
            {"mark", add->mark},
            {"table", add->table},
            {"inverted", add->inverted}};
  }
  if (const auto* set = std::get_if<SetSysctl>(&change)) {
    json object = {{"kind", "sysctl"}, {"name", set->name}, {"value", set->value}};
    if (!set->along_with.empty()) object["along_with"] = set->along_with;
    return object;
  }
  if (const auto* set = std::get_if<SetFirewall>(&change)) {
    json addresses = json::array();
    for (const IpAddress& address : set->spec.own_addresses) addresses.push_back(address.to_string());
    return {{"kind", "firewall"},
            {"interface", set->spec.interface},
            {"kill_switch", set->spec.kill_switch},
            {"addresses", addresses}};
  }
  if (std::holds_alternative<SetDns>(change)) return {{"kind", "dns"}};
  return nullptr;  // an address ends with the interface
}

// The library converts any number to any type, however far outside it lies.
uint64_t number_in(const json& object, const char* key, uint64_t greatest) {
  const json& value = object.at(key);
  if (!value.is_number_unsigned() || value.get<uint64_t>() > greatest) throw std::out_of_range(key);
  return value.get<uint64_t>();
}
uint32_t word_in(const json& object, const char* key) {
  return static_cast<uint32_t>(number_in(object, key, std::numeric_limits<uint32_t>::max()));
}

IpFamily family_in(const json& object) {
  const auto family = static_cast<IpFamily>(number_in(object, "family", 6));
  if (family != IpFamily::kIpv4 && family != IpFamily::kIpv6) throw std::out_of_range("family");
  return family;
}

// Empty: of a kind that only a later version knows.
std::optional<HostChange> change_of(const json& object) {
  const std::string kind = object.at("kind");
  if (kind == "route") {
    const auto destination = IpPrefix::parse(object.at("destination").get<std::string>());
    if (!destination) throw std::out_of_range("destination");
    const uint64_t route = number_in(object, "route", static_cast<uint64_t>(RouteKind::kThrow));
    const uint32_t other = object.contains("other_tunnel") ? word_in(object, "other_tunnel") : 0;
    return AddRoute{*destination, word_in(object, "table"), static_cast<RouteKind>(route), 0, other};
  }
  if (kind == "rule") {
    return AddMarkRule{family_in(object), word_in(object, "mark"), word_in(object, "table"),
                       object.at("inverted")};
  }
  if (kind == "sysctl")
    return SetSysctl{object.at("name"), object.at("value"), object.value("along_with", "")};
  if (kind == "dns") return SetDns{};
  if (kind != "firewall") return std::nullopt;
  SetFirewall firewall;
  firewall.spec.interface = object.at("interface");
  firewall.spec.kill_switch = object.at("kill_switch");
  for (const std::string address : object.value("addresses", json::array())) {
    const auto parsed = IpAddress::parse(address);
    if (!parsed) throw std::out_of_range("addresses");
    firewall.spec.own_addresses.push_back(*parsed);
  }
  return firewall;
}

// One that is counted on from must have another after it.
constexpr uint64_t kGreatestId = std::numeric_limits<uint64_t>::max() - 1;

void take_line(const json& object, JournalContents& contents) {
  if (object.contains("undone")) {
    const uint64_t id = number_in(object, "undone", kGreatestId);
    std::erase_if(contents.standing, [id](const JournalEntry& entry) { return entry.id == id; });
  } else if (object.contains("name") && object.contains("address")) {
    contents.addresses[object.at("name")] = object.at("address");
  } else if (object.contains("id")) {
    const uint64_t id = number_in(object, "id", kGreatestId);
    contents.last_id = std::max(contents.last_id, id);
    if (auto change = change_of(object))
      contents.standing.push_back({id, std::move(*change), object.at("former")});
  }
}

}  // namespace

std::string journal_header(const std::string& interface, uint64_t network_namespace) {
  return line_of({{"interface", interface}, {"network_namespace", network_namespace}});
}

std::optional<uint64_t> network_namespace_of(std::string_view text) {
  const json object = json::parse(text.substr(0, text.find('\n')), nullptr, false);
  if (!object.is_object() || !object.contains("network_namespace")) return std::nullopt;
  const json& number = object.at("network_namespace");
  return number.is_number_unsigned() ? std::optional(number.get<uint64_t>()) : std::nullopt;
}

std::string announcement_line(const JournalEntry& entry) {
  json object = to_json(entry.change);
  if (object.is_null()) return "";
  object["id"] = entry.id;
  object["former"] = entry.former;
  return line_of(object);
}

std::string undone_line(uint64_t id) {
  return line_of({{"undone", id}});
}

std::string address_line(const std::string& name, const std::string& addresses) {
  return line_of({{"name", name}, {"address", addresses}});
}

Result<JournalContents, Error> read_journal(std::string_view text, const std::string& path,
                                            uint64_t network_namespace) {
  JournalContents contents;
  const auto damaged = [&path](int number) {
    return fail(Error{path, number, "", "is damaged", "undo by hand what it tells of, and remove it"});
  };
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    try {
      const json object = json::parse(line);
      if (number == 1 &&
          number_in(object, "network_namespace", std::numeric_limits<uint64_t>::max()) != network_namespace) {
        return fail(Error{path, 0, "", "tells of another network namespace",
                          "run this in that namespace, or remove the file if that is gone"});
      }
      take_line(object, contents);
    } catch (const json::exception&) {
      return damaged(number);
    } catch (const std::out_of_range&) {
      return damaged(number);
    }
  }
  return contents;
}

}  // namespace vpn::host
