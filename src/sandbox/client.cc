#include "src/sandbox/client.h"

#include "src/base/sys.h"
#include "src/sandbox/run_directory.h"

namespace msb::sandbox {

base::Result<std::unique_ptr<Client>> Client::Connect(base::EventLoop& loop,
                                                      const std::string& name,
                                                      Callbacks callbacks) {
  const FoundSandbox found = TRY(FindSandbox(name));
  return Connect(loop, found, std::move(callbacks));
}

base::Result<std::unique_ptr<Client>> Client::Connect(base::EventLoop& loop,
                                                      const FoundSandbox& found,
                                                      Callbacks callbacks) {
  if (found.state.phase == Phase::kEnded) {
    return base::Fail(base::ErrorCode::kClosed, "sandbox {} has ended: {}", found.state.name,
                      found.state.ended ? found.state.ended->message : "nobody knows why");
  }
  base::UniqueFd socket =
      TRY(base::ConnectUnixAt(found.directory.get(), kControlSocket, base::SocketType::kSeqPacket)
              .WithContext(
                  fmt::format("the monitor of sandbox {} cannot be reached", found.state.name)));
  std::unique_ptr<Client> client(new Client(std::move(callbacks)));
  client->socket_ = TRY(MonitorSocket::Create(
      loop, std::move(socket), [raw = client.get()](const FromMonitor& m) { raw->OnMessage(m); }));
  return client;
}

base::Result<base::UniqueFd> Client::ConnectAgent(bool joins) {
  base::Pair pair = TRY(base::MakeSocketPair(base::SocketType::kStream));
  ToMonitor message;
  message.connect_agent = {joins};
  const int theirs = pair.second.get();
  TRY(socket_->Send(message, std::span(&theirs, 1)));
  return std::move(pair.first);
}

base::Status Client::SayReceived() {
  ToMonitor message;
  message.received.emplace();
  return socket_->Send(message, {});
}

base::Status Client::SetInUse(bool in_use) {
  ToMonitor message;
  message.use = {in_use};
  return socket_->Send(message, {});
}

base::Status Client::Stop(uint32_t grace_ms) {
  ToMonitor message;
  message.stop = {grace_ms};
  return socket_->Send(message, {});
}

base::Status Client::Resume() {
  ToMonitor message;
  message.resume.emplace();
  return socket_->Send(message, {});
}

base::Status Client::SetLimits(const sandbox::SetLimits& limits) {
  ToMonitor message;
  message.set_limits = limits;
  return socket_->Send(message, {});
}

void Client::OnMessage(const FromMonitor& message) {
  const Callbacks callbacks = callbacks_;  // one of them may destroy this
  if (message.stopping && callbacks.on_stopping) callbacks.on_stopping(*message.stopping);
  if (message.resumed && callbacks.on_resumed) callbacks.on_resumed();
  if (message.limits && callbacks.on_limits) callbacks.on_limits(*message.limits);
  if (message.failure) {
    const bool own = message.of_limits.value_or(false) && callbacks.on_limits_refused;
    const auto& refused = own ? callbacks.on_limits_refused : callbacks.on_failure;
    if (refused) refused(*message.failure);
  }
  if (message.ended && callbacks.on_ended) callbacks.on_ended(*message.ended);
}

}  // namespace msb::sandbox
