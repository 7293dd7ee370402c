#include "vpn/host/dns_process.h"

#include <sys/socket.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace vpn::host {
namespace {

using nlohmann::json;

// Each question and each answer is one message, a JSON object.
constexpr size_t kLongestMessage = 65536;

std::string to_text(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool send_text(const io::UniqueFd& channel, const std::string& text) {
  return text.size() <= kLongestMessage &&
         send(channel.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

// Empty: the other end is gone.
std::optional<json> receive_object(const io::UniqueFd& channel) {
  std::vector<char> text(kLongestMessage);
  const ssize_t got = recv(channel.get(), text.data(), text.size(), 0);
  if (got <= 0) return std::nullopt;
  return json::parse(text.begin(), text.begin() + got);
}

// Who asks may be in a stranger's hands by now: what is no domain does not get into a file of root's.
SetDns dns_in(const json& question) {
  SetDns dns;
  for (const std::string server : question.at("servers")) {
    const auto address = IpAddress::parse(server);
    if (!address) throw std::out_of_range("servers");
    dns.servers.push_back(*address);
  }
  dns.search = question.at("search").get<std::vector<std::string>>();
  for (const std::string& domain : dns.search) {
    const bool is_plain = std::all_of(domain.begin(), domain.end(),
                                      [](unsigned char byte) { return byte > ' ' && byte != 0x7f; });
    if (!is_plain || domain.empty()) throw std::out_of_range("search");
  }
  dns.everything = question.at("everything");
  return dns;
}

Result<bool, Error> answer_to(const json& question, const std::string& interface) {
  const std::string what = question.at("do");
  const std::string method = question.at("method");
  if (what == "unset") return unset_dns(method, interface);
  if (what == "may set") return may_set_dns(dns_method_of(method), interface);
  return set_dns(dns_method_of(method), interface, question.at("index"), dns_in(question));
}

// The other process. A question that is not one of ours ends it.
void serve(const io::UniqueFd& channel, const std::string& interface) try {
  while (const auto question = receive_object(channel)) {
    const auto answer = answer_to(*question, interface);
    json object{{"done", answer && *answer}};
    if (!answer) {
      const Error& error = answer.error();
      object["error"] = {{"where", error.where}, {"problem", error.problem}, {"remedy", error.remedy}};
    }
    if (!send_text(channel, to_text(object))) return;
  }
} catch (const std::exception&) {
  return;
}

}  // namespace

DnsProcess::DnsProcess(const std::string& interface, bool background)
    : process_("vpn-dns", [&](const io::UniqueFd& channel) {
        if (background) io::close_standard_files();
        serve(channel, interface);
      }) {}

Result<bool, Error> DnsProcess::ask(const std::string& question) const {
  const auto answer =
      send_text(process_.channel(), question) ? receive_object(process_.channel()) : std::nullopt;
  if (!answer) {
    return fail(Error{"DNS", 0, "", "the process that sets the name servers is gone",
                      "take the tunnel down and up again"});
  }
  if (!answer->contains("error")) return answer->at("done").get<bool>();
  const json& error = answer->at("error");
  return fail(Error{error.at("where"), 0, "", error.at("problem"), error.at("remedy")});
}

Result<bool, Error> DnsProcess::may_set(DnsMethod method) const {
  return ask(to_text({{"do", "may set"}, {"method", dns_method_name(method)}}));
}

Result<bool, Error> DnsProcess::set(DnsMethod method, unsigned index, const SetDns& dns) const {
  std::vector<std::string> servers;
  for (const IpAddress& server : dns.servers) servers.push_back(server.to_string());
  return ask(to_text({{"do", "set"},
                      {"method", dns_method_name(method)},
                      {"index", index},
                      {"servers", servers},
                      {"search", dns.search},
                      {"everything", dns.everything}}));
}

Result<bool, Error> DnsProcess::unset(std::string_view method) const {
  return ask(to_text({{"do", "unset"}, {"method", method}}));
}

}  // namespace vpn::host
