// msb image …: msb-image does it.
#include "src/cli/commands.h"
#include "src/cli/helper_program.h"

namespace msb::cli {

int RunImage(const ImageOptions& options) { return Become("msb-image", options.arguments); }

}  // namespace msb::cli
