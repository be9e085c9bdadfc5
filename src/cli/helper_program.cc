#include "src/cli/helper_program.h"

#include <unistd.h>

#include "src/base/paths.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"

namespace msb::cli {

int Become(const std::string& program, const std::vector<std::string>& arguments) {
  const auto directory = base::LibexecDirectory();
  if (!directory) return Complain(directory.error().message(), kFailure);
  const std::string path = *directory + "/" + program;
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return Complain(fmt::format("cannot start {}: {}", path, base::ErrnoText(errno)), kFailure);
}

}  // namespace msb::cli
