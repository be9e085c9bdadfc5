#include "src/sandbox/monitor_socket.h"

#include <vector>

#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::sandbox {

base::Result<std::unique_ptr<MonitorSocket>> MonitorSocket::Create(
    base::EventLoop& loop, base::UniqueFd socket,
    std::function<void(const FromMonitor&)> on_message) {
  std::unique_ptr<MonitorSocket> made(new MonitorSocket(std::move(on_message)));
  made->socket_ = std::move(socket);
  made->watch_ = TRY(
      loop.Add(made->socket_.get(), EPOLLIN, [raw = made.get()](uint32_t) { raw->OnReadable(); }));
  return made;
}

base::Status MonitorSocket::Send(const ToMonitor& message, std::span<const int> fds) {
  const std::string text = base::json::Write(message);
  if (text.size() > kMaxMonitorPacket) return SendLong(text, fds);
  auto sent = base::SendWithFds(socket_.get(), std::as_bytes(std::span(text)), fds);
  if (sent) return {};
  // One that hangs up has said why.
  const auto last_words = Receive();
  if (last_words && *last_words && (*last_words)->failure) {
    return base::Fail(base::ErrorCode::kLimit, "the sandbox's monitor refuses: {}",
                      (*last_words)->failure->message.data);
  }
  return std::move(sent).error().WithContext("cannot reach the sandbox's monitor");
}

base::Status MonitorSocket::SendLong(const std::string& text, std::span<const int> fds) {
  if (text.size() > kMaxMonitorMessage) {
    return base::Fail(base::ErrorCode::kLimit,
                      "the program's arguments and environment are too long: {} bytes, of {}",
                      text.size(), kMaxMonitorMessage);
  }
  const base::UniqueFd file = TRY(base::CreateMemFd("msb-message"));
  TRY(base::WriteFull(file.get(), text));
  std::vector<int> all(fds.begin(), fds.end());
  ToMonitor envelope;
  envelope.message_fd = static_cast<uint32_t>(all.size());
  all.push_back(file.get());
  return Send(envelope, all);
}

base::Result<std::optional<FromMonitor>> MonitorSocket::Receive() {
  std::vector<std::byte> buffer(kMaxMonitorPacket);
  auto received = base::ReceiveWithFds(socket_.get(), buffer, /*nonblocking=*/true);
  if (!received && received.error().sys_errno() == ECONNRESET) {
    // It hung up without having read all; what it said before comes next.
    received = base::ReceiveWithFds(socket_.get(), buffer, /*nonblocking=*/true);
  }
  if (!received && received.error().sys_errno() == EAGAIN) return std::nullopt;
  if (!received || received->size == 0) {
    return base::Fail(base::ErrorCode::kClosed, "the sandbox's monitor was killed");
  }
  const std::string_view text(reinterpret_cast<const char*>(buffer.data()), received->size);
  return TRY(
      base::json::Parse<FromMonitor>(text).WithContext("the sandbox's monitor sent nonsense"));
}

void MonitorSocket::OnReadable() {
  const auto message = Receive();
  if (!message) return End(message.error().message());
  if (!*message) return;
  if ((*message)->ended) watch_.Reset();
  const auto handler = on_message_;  // which may destroy this
  handler(**message);
}

void MonitorSocket::End(std::string why) {
  watch_.Reset();
  FromMonitor message;
  message.ended = Ended{EndReason::kVmmEnded, std::move(why), {}, 125, {}};
  const auto handler = on_message_;
  handler(message);
}

}  // namespace msb::sandbox
