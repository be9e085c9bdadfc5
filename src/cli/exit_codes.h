// Exit codes of msb. A program's own code passes through; 126 and 127 are the agent's findings
// (src/agent/client/attachment.h); what fails in msb itself while running a program is 125,
// elsewhere 1.
#pragma once

namespace msb::cli {

inline constexpr int kFailure = 1;       // a command that runs no program
inline constexpr int kUsage = 2;         // the command line is wrong
inline constexpr int kOwnFailure = 125;  // exe: ours, not the program's

}  // namespace msb::cli
