#include "vpn/host/dns_resolved.h"

#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include <memory>
#include <sstream>
#include <string>
#include <system_error>

namespace vpn::host {
namespace {

constexpr char kName[] = "org.freedesktop.resolve1";
constexpr char kPath[] = "/org/freedesktop/resolve1";
constexpr char kManager[] = "org.freedesktop.resolve1.Manager";

struct CloseBus {
  void operator()(sd_bus* bus) const noexcept { sd_bus_flush_close_unref(bus); }
};
struct FreeMessage {
  void operator()(sd_bus_message* message) const noexcept { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, CloseBus>;
using Message = std::unique_ptr<sd_bus_message, FreeMessage>;

Bus open_bus() {
  sd_bus* bus = nullptr;
  return sd_bus_open_system(&bus) < 0 ? nullptr : Bus(bus);
}

Message new_call(const Bus& bus, const char* method) {
  sd_bus_message* message = nullptr;
  sd_bus_message_new_method_call(bus.get(), &message, kName, kPath, kManager, method);
  return Message(message);
}

Result<bool, Error> call(const Bus& bus, const Message& message, const std::string& method) {
  sd_bus_error error{};
  const int result = sd_bus_call(bus.get(), message.get(), 0, &error, nullptr);
  const std::string why = error.message != nullptr ? error.message : std::generic_category().message(-result);
  sd_bus_error_free(&error);
  if (result >= 0) return true;
  return fail(Error{"systemd-resolved", 0, "", method + ": " + why, "see 'journalctl -u systemd-resolved'"});
}

Result<bool, Error> set_servers(const Bus& bus, unsigned index, const SetDns& dns) {
  const Message message = new_call(bus, "SetLinkDNS");
  sd_bus_message_append(message.get(), "i", static_cast<int>(index));
  sd_bus_message_open_container(message.get(), 'a', "(iay)");
  for (const IpAddress& server : dns.servers) {
    const BytesView bytes = server.bytes();
    sd_bus_message_open_container(message.get(), 'r', "iay");
    sd_bus_message_append(message.get(), "i", server.is_ipv4() ? AF_INET : AF_INET6);
    sd_bus_message_append_array(message.get(), 'y', bytes.data(), bytes.size());
    sd_bus_message_close_container(message.get());
  }
  sd_bus_message_close_container(message.get());
  return call(bus, message, "SetLinkDNS");
}

Result<bool, Error> set_domains(const Bus& bus, unsigned index, const SetDns& dns) {
  const Message message = new_call(bus, "SetLinkDomains");
  sd_bus_message_append(message.get(), "i", static_cast<int>(index));
  sd_bus_message_open_container(message.get(), 'a', "(sb)");
  for (const std::string& domain : dns.search)
    sd_bus_message_append(message.get(), "(sb)", domain.c_str(), 0);
  // The root as a routing domain: every name that no other interface has a longer domain for.
  if (dns.everything) sd_bus_message_append(message.get(), "(sb)", ".", 1);
  sd_bus_message_close_container(message.get());
  return call(bus, message, "SetLinkDomains");
}

}  // namespace

bool has_resolved() {
  const Bus bus = open_bus();
  if (!bus) return false;
  sd_bus_message* answer = nullptr;
  const int result = sd_bus_call_method(bus.get(), "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                        "org.freedesktop.DBus", "NameHasOwner", nullptr, &answer, "s", kName);
  const Message owned(answer);
  int has_owner = 0;
  return result >= 0 && sd_bus_message_read(answer, "b", &has_owner) > 0 && has_owner != 0;
}

bool leads_to_resolved(std::string_view resolv_conf) {
  bool leads = false;
  std::istringstream lines{std::string(resolv_conf)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string key;
    std::string server;
    if (!(words >> key >> server) || key != "nameserver") continue;
    if (server != "127.0.0.53" && server != "127.0.0.54") return false;
    leads = true;
  }
  return leads;
}

Result<bool, Error> set_resolved(unsigned index, const SetDns& dns) {
  const Bus bus = open_bus();
  if (!bus) return fail(Error{"systemd-resolved", 0, "", "the system bus does not answer", "start dbus"});
  if (auto set = set_servers(bus, index, dns); !set) return set;
  return set_domains(bus, index, dns);
}

Result<bool, Error> revert_resolved(unsigned index) {
  const Bus bus = open_bus();
  if (!bus) return true;  // no bus, no resolved
  const Message message = new_call(bus, "RevertLink");
  sd_bus_message_append(message.get(), "i", static_cast<int>(index));
  return call(bus, message, "RevertLink");
}

}  // namespace vpn::host
