// ShutdownSequence: the orderly end: signal, grace, SIGKILL, disks settled, answers, power off.
//
// Owned by the Server; one thread. Every step has a deadline, so that a workload can delay the end
// by its grace and by nothing else.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"

namespace msb::agent {

class Server;

class ShutdownSequence {
 public:
  explicit ShutdownSequence(Server& server) : server_(server) {}

  // The first request begins it; a later one can only shorten the grace. All are answered.
  base::Status Ask(const Shutdown& request, uint64_t session, uint32_t seq);
  bool begun() const { return stage_ != Stage::kIdle; }
  void ProcessExited();
  void SessionClosed(uint64_t session);

 private:
  enum class Stage { kIdle, kGrace, kKilling, kSettled, kOff };
  // A process in uninterruptible sleep dies when it wakes up; the disks do not wait for it longer.
  static constexpr int64_t kKillMs = 5000;
  // For the answer to leave the machine, if its reader does not close first.
  static constexpr int64_t kAnswerMs = 200;

  void Kill();
  void Settle();
  void PowerOff();
  void OnTimer();
  void ArmMs(int64_t ms);

  Server& server_;
  Stage stage_ = Stage::kIdle;
  base::Timer timer_;
  int64_t deadline_ns_ = 0;
  std::vector<std::pair<uint64_t, uint32_t>> askers_;  // session, seq
};

}  // namespace msb::agent
