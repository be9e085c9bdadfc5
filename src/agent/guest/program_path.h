// Where a program is: argv[0] looked up in the PATH of the process to be, as execvp(3) does.
//
// Looks from the working directory `cwd_fd` of that process. Asks the file system only for what
// is there and executable; whether this user may execute it, execve says.
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::agent {

inline constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A path for execve. Errors: kNotFound (exit code 127), kDenied if what was found cannot be
// executed (126); both name the program.
base::Result<std::string> FindProgram(std::string_view program, std::string_view path, int cwd_fd);

}  // namespace msb::agent
