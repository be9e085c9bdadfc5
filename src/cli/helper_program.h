// Commands that a program of their own does, beside this one's helpers: since the libraries it
// needs would make every start of msb slower.
#pragma once

#include <string>
#include <vector>

#include "src/base/result.h"

namespace msb::cli {

// Becomes `program`, which parses the arguments itself. Returns only if it cannot: the exit code.
int Become(const std::string& program, const std::vector<std::string>& arguments);

// What `program` prints. An Error also if it fails.
base::Result<std::string> OutputOf(const std::string& program,
                                   const std::vector<std::string>& arguments);

}  // namespace msb::cli
