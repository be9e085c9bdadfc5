#include "src/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace msb::cli {

bool IsInteractive() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1; }

agent::WindowSize CurrentWindowSize() {
  winsize size = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0) {
    return {};
  }
  return {size.ws_col, size.ws_row};
}

void RawTerminal::Enter() {
  termios settings;
  if (::tcgetattr(STDIN_FILENO, &settings) < 0) return;
  if (!saved_) saved_ = settings;
  ::cfmakeraw(&settings);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &settings);
}

void RawTerminal::Leave() {
  if (!saved_) return;
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &*saved_);
  saved_.reset();
}

}  // namespace msb::cli
