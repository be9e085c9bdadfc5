// msb-server: what `msb server …` runs.
#include <signal.h>

#include "src/server/program/command_line.h"

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a client that goes away is an error of a write, not our death
  ::signal(SIGXFSZ, SIG_IGN);  // so is a file beyond the limit
  return msb::server::RunCommandLine(argc, argv);
}
