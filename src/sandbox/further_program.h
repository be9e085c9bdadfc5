// What further programs of a sandbox have from it. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "src/agent/protocol.h"
#include "src/base/bytes.h"
#include "src/sandbox/protocol.h"

namespace msb::sandbox {

// Those of a sandbox whose own program this is.
ProgramDefaults DefaultsOf(const agent::Exec& program);

struct FurtherProgram {
  std::vector<base::Bytes> argv;
  std::vector<base::Bytes> env;  // over the sandbox's
  base::Bytes workdir;           // empty: the sandbox's
  base::Bytes user;              // empty: the sandbox's
};

// With a new id; how it is attached is left to the caller.
agent::Exec ExecOf(const ProgramDefaults& defaults, const FurtherProgram& program);

}  // namespace msb::sandbox
