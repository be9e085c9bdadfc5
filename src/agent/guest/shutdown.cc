#include "src/agent/guest/shutdown.h"

#include <signal.h>

#include <algorithm>
#include <chrono>

#include "src/agent/guest/server.h"
#include "src/base/sys.h"

namespace msb::agent {

base::Status ShutdownSequence::Ask(const Shutdown& request, uint64_t session, uint32_t seq) {
  askers_.emplace_back(session, seq);
  const int64_t deadline = base::BootTimeNanos() + int64_t{request.grace_ms} * 1'000'000;
  if (stage_ == Stage::kGrace && deadline < deadline_ns_) {
    deadline_ns_ = deadline;
    ArmMs(request.grace_ms);
  }
  if (stage_ != Stage::kIdle) return {};
  timer_ = TRY(server_.loop().AddTimer([this] { OnTimer(); }));
  stage_ = Stage::kGrace;
  deadline_ns_ = deadline;
  if (request.grace_ms > 0 && server_.AnyRunning()) {
    server_.SignalAll(std::clamp(request.signal, 1, SIGRTMAX));
    ArmMs(request.grace_ms);
  } else {
    Kill();
  }
  return {};
}

void ShutdownSequence::ArmMs(int64_t ms) { timer_.Arm(std::chrono::milliseconds(ms)); }

void ShutdownSequence::ProcessExited() {
  if (stage_ == Stage::kGrace && !server_.AnyRunning()) Kill();
}

void ShutdownSequence::OnTimer() {
  switch (stage_) {
    case Stage::kGrace:
      return Kill();
    case Stage::kKilling:
      return Settle();
    case Stage::kSettled:
      return PowerOff();
    case Stage::kIdle:
    case Stage::kOff:
      return;
  }
}

void ShutdownSequence::Kill() {
  stage_ = Stage::kKilling;
  ArmMs(kKillMs);
  server_.StopFileWork();  // before the workload, of which it is: nothing is started beside it
  server_.machine().KillWorkload([this] {
    if (stage_ == Stage::kKilling) Settle();
  });
}

void ShutdownSequence::Settle() {
  stage_ = Stage::kSettled;
  const base::Status settled = server_.machine().SettleDisks();
  for (const auto& [session, seq] : askers_) {
    Reply reply;
    reply.seq = seq;
    if (!settled) {
      reply.failure = Failure{FailureCode::kSystem, base::Bytes(settled.error().message())};
    }
    server_.AnswerTo(session, std::move(reply));
  }
  if (askers_.empty()) return PowerOff();
  ArmMs(kAnswerMs);
}

// Whoever asked has its answer when it closes.
void ShutdownSequence::SessionClosed(uint64_t session) {
  std::erase_if(askers_, [session](const auto& asker) { return asker.first == session; });
  if (stage_ == Stage::kSettled && askers_.empty()) PowerOff();
}

void ShutdownSequence::PowerOff() {
  if (stage_ == Stage::kOff) return;
  stage_ = Stage::kOff;
  server_.machine().PowerOff();
}

}  // namespace msb::agent
