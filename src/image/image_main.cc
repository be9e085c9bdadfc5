// msb-image: what `msb image …` runs.
#include <signal.h>

#include "src/image/commands.h"

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a converter that gives up is an error of a write, not our death
  ::signal(SIGXFSZ, SIG_IGN);  // so is a file beyond the limit
  return msb::image::RunCommandLine(argc, argv);
}
