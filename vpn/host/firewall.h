// Firewall: runs nftables commands of the network namespace the caller is in, by libnftables.
#pragma once

#include <memory>
#include <string>

#include "vpn/base/error.h"
#include "vpn/base/result.h"

struct nft_ctx;

namespace vpn::host {

class Firewall {
 public:
  // An error, with what to leave out of a configuration, where the kernel has no nf_tables or the caller not
  // the right to it.
  [[nodiscard]] static Result<Firewall, Error> open();

  // Runs all of `commands` as one transaction: on an error nothing has changed.
  [[nodiscard]] Result<bool, Error> run(const std::string& commands);
  // Whether there is an inet table of this name.
  [[nodiscard]] bool has_table(const std::string& name);

 private:
  struct FreeContext {
    void operator()(nft_ctx* context) const noexcept;
  };
  explicit Firewall(nft_ctx* context) : context_(context) {}

  std::unique_ptr<nft_ctx, FreeContext> context_;
};

}  // namespace vpn::host
