// msb server …: msb-server does it.
#include "src/cli/commands.h"
#include "src/cli/helper_program.h"

namespace msb::cli {

int RunServer(const ServerOptions& options) { return Become("msb-server", options.arguments); }

}  // namespace msb::cli
