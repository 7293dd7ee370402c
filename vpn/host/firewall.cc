#include "vpn/host/firewall.h"

#include <nftables/libnftables.h>

namespace vpn::host {

void Firewall::FreeContext::operator()(nft_ctx* context) const noexcept {
  nft_ctx_free(context);
}

Result<Firewall, Error> Firewall::open() {
  Firewall firewall(nft_ctx_new(NFT_CTX_DEFAULT));
  nft_ctx* const context = firewall.context_.get();
  if (context == nullptr) return fail(Error{"nftables", 0, "", "out of memory", ""});
  nft_ctx_buffer_output(context);
  nft_ctx_buffer_error(context);
  if (nft_run_cmd_from_buffer(context, "list tables") != 0) {
    return fail(
        Error{"nftables", 0, "", "not to be had here: " + std::string(nft_ctx_get_error_buffer(context)),
              "run as root on a kernel with nf_tables, or take KillSwitch, Gateway and the full tunnel "
              "out of the configuration"});
  }
  return firewall;
}

Result<bool, Error> Firewall::run(const std::string& commands) {
  if (nft_run_cmd_from_buffer(context_.get(), commands.c_str()) == 0) return true;
  const std::string why = nft_ctx_get_error_buffer(context_.get());
  return fail(Error{"nftables", 0, "", "refused: " + why.substr(0, why.find('\n')),
                    "the kernel must have nf_tables for inet and arp, with fib, ct, masquerade and socket"});
}

bool Firewall::has_table(const std::string& name) {
  if (nft_run_cmd_from_buffer(context_.get(), "list tables inet") != 0) return false;
  const std::string tables = nft_ctx_get_output_buffer(context_.get());
  return tables.find("table inet " + name + "\n") != std::string::npos;
}

}  // namespace vpn::host
