// The command line of msb-server: the one place here that knows CLI11. spec/cli.md, "server".
#pragma once

namespace msb::server {

// Parses, runs the command, prints what went wrong. The exit code: 0, 1, or 2 for wrong usage.
int RunCommandLine(int argc, char** argv);

}  // namespace msb::server
