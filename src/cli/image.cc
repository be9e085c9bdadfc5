// msb image …: msb-image does it, a program of its own, since the libraries it needs would make
// every start of msb slower.
#include <unistd.h>

#include "src/base/paths.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"

namespace msb::cli {

int RunImage(const ImageOptions& options) {
  const auto directory = base::LibexecDirectory();
  if (!directory) return Complain(directory.error().message(), kFailure);
  const std::string path = *directory + "/msb-image";
  std::vector<char*> argv = {const_cast<char*>("msb-image")};
  for (const std::string& argument : options.arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return Complain(fmt::format("cannot start {}: {}", path, base::ErrnoText(errno)), kFailure);
}

}  // namespace msb::cli
