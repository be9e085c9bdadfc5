// Terminal: the raw mode and window size of the terminal on standard input.
//
// Raw mode is undone by the destructor, and by exit handlers of main for every end but SIGKILL. One
// object a process.
#pragma once

#include <termios.h>

#include <optional>

#include "src/agent/protocol.h"

namespace msb::cli {

// True if standard input and standard output are both terminals: then the program gets a pty.
bool IsInteractive();

// Of the terminal on standard output; a default where it does not say.
agent::WindowSize CurrentWindowSize();

class RawTerminal {
 public:
  RawTerminal() = default;
  RawTerminal(const RawTerminal&) = delete;
  ~RawTerminal() { Leave(); }
  void Enter();
  void Leave();

 private:
  std::optional<termios> saved_;
};

}  // namespace msb::cli
