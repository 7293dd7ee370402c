#include "lab/bench/report_json.h"

namespace lab::bench {

Json machine_json(const Machine& machine) {
  return {{"processor", machine.processor},
          {"cores", machine.cores},
          {"kernel", machine.kernel},
          {"memory_gb", machine.memory_gb},
          {"load_before", machine.load_before}};
}

std::string json_text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lab::bench
