#include "lab/impair/netem_limits.h"

#include "lab/impair/delay_table.h"

namespace lab {

std::string beyond_netem(const Impairment& impairment) {
  if (!impairment.drops.empty()) return "drop lists";
  if (impairment.mtu_bytes > 0 && !impairment.icmp) return "an MTU without ICMP";
  if (!fits_delay_table(impairment)) return "so small a share of reordering";
  return {};
}

std::string unlike_in_netem(const Impairment& impairment) {
  if (impairment.corrupt > 0) return "damage that the UDP checksum does not betray";
  if (impairment.mtu_bytes > 0) return "a router's MTU";
  return {};
}

}  // namespace lab
