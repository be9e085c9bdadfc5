// Any bytes from a host: the agent neither crashes nor hangs, and lets go of the connection once
// the host has. Its root is never there, so that no request can run a program or touch a file.
#include <sys/socket.h>

#include <algorithm>

#include "src/agent/guest/server.h"
#include "src/base/sys.h"

namespace {

using namespace msb;

class NoMachine : public agent::Machine {
 public:
  base::Status Configure(const agent::Configure&) override {
    return base::Fail(base::ErrorCode::kUnsupported, "no machine");
  }
  int workload_cgroup() const override { return -1; }
  uint64_t OutOfMemoryKills() override { return 0; }
  void KillWorkload(std::function<void()> gone) override { gone(); }
  base::Status SettleDisks() override { return {}; }
  void PowerOff() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto loop = base::EventLoop::Create().value();
  NoMachine machine;
  const auto server = agent::Server::Create(*loop, machine, {}).value();
  base::Pair pair = base::MakeSocketPair(base::SocketType::kStream).value();
  server->Accept(std::move(pair.first));
  char answers[65536];
  while (size > 0) {
    const ssize_t put =
        ::send(pair.second.get(), data, std::min<size_t>(size, 16384), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put > 0) {
      data += put;
      size -= static_cast<size_t>(put);
    }
    const bool worked = loop->RunOnce(0).value();
    const ssize_t got = ::recv(pair.second.get(), answers, sizeof answers, MSG_DONTWAIT);
    if (put <= 0 && !worked && got <= 0) break;  // it waits for its root, or has hung up
  }
  pair.second.Reset();
  while (loop->RunOnce(0).value()) {
  }
  CHECK(server->processes() == 0);
  return 0;
}
