// Completion scripts for shells, made of the command line's own description: a command or option
// that is added there is completed without further ado. Names of sandboxes and images are asked for
// when they are completed (`msb ps`, `msb image ls -q`). Pure functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "src/cli/command_line.h"

namespace msb::cli {

std::string CompletionScript(Shell shell, const std::vector<CommandDescription>& commands);

}  // namespace msb::cli
