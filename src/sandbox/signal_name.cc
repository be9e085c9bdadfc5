#include "src/sandbox/signal_name.h"

#include <signal.h>
#include <string.h>

#include <charconv>

#include "src/base/bytes.h"

namespace msb::sandbox {

base::Result<int> ParseSignal(std::string_view text) {
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  int offset = 0;
  if (name.starts_with("RTMIN")) {
    offset = SIGRTMIN;
    name.remove_prefix(5);
    if (name.starts_with('+')) name.remove_prefix(1);
    if (name.empty()) name = "0";
  }
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error == std::errc() && end == name.data() + name.size() && number >= 0 &&
      offset + number >= 1 && offset + number <= SIGRTMAX) {
    return offset + number;
  }
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return base::Fail(base::ErrorCode::kInvalid, "\"{}\" is no signal: a name (SIGTERM) or a number",
                    base::EscapeForTerminal(text.substr(0, 64)));
}

}  // namespace msb::sandbox
