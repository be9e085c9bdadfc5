// Transfer: what takes longer than a moment, done in pieces, as the host takes them.
#pragma once

#include "src/agent/frame.h"

namespace msb::agent {

class Transfer {
 public:
  virtual ~Transfer() = default;
  // Does the next piece and appends the frames it gives (some 256 KiB); false when that was the
  // last.
  virtual bool Fill(FrameQueue& queue) = 0;
};

}  // namespace msb::agent
