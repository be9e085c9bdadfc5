#include "src/sandbox/lifecycle.h"

namespace msb::sandbox {

std::optional<Phase> Next(Phase phase, Happening happening) {
  if (phase == Phase::kEnded) return std::nullopt;
  switch (happening) {
    case Happening::kGone:
      return Phase::kEnded;
    case Happening::kStop:
      if (phase == Phase::kStopping) return std::nullopt;
      // Nobody's program runs yet that could make something of a grace.
      return phase == Phase::kStarting ? Phase::kEnded : Phase::kStopping;
    case Happening::kReady:
      return phase == Phase::kStarting ? std::optional(Phase::kRunning) : std::nullopt;
    case Happening::kDiskFull:
      return phase == Phase::kRunning ? std::optional(Phase::kPaused) : std::nullopt;
    case Happening::kDiskRoom:
      return phase == Phase::kPaused ? std::optional(Phase::kRunning) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace msb::sandbox
