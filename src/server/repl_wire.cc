#include "src/server/repl_wire.h"

#include <bit>
#include <cstring>

#include "src/base/json.h"

namespace msb::server::repl {
namespace {

using base::ErrorCode;
using base::Fail;

static_assert(std::endian::native == std::endian::little);
constexpr size_t kHeaderBytes = sizeof(uint32_t);

bool IsStream(std::string_view name) { return name == "stdout" || name == "stderr"; }

base::Status CheckDisplay(const Display& display) {
  if (display.data.size() + display.omitted.size() > kMaxTypes) {
    return Fail(ErrorCode::kProtocol, "a value of more than {} types", kMaxTypes);
  }
  const auto check = [](const std::string& type) -> base::Status {
    if (type.size() <= kMaxTypeName) return {};
    return Fail(ErrorCode::kProtocol, "a type's name of {} characters", type.size());
  };
  for (const auto& [type, _] : display.data) TRY(check(type));
  for (const auto& [type, _] : display.omitted) TRY(check(type));
  return {};
}

base::Status Check(const FromDriver& message) {
  const int known = message.hello.has_value() + message.output.has_value() +
                    message.display.has_value() + message.error.has_value() +
                    message.done.has_value() + message.exit.has_value();
  if (known > 1) return Fail(ErrorCode::kProtocol, "a message that is several");
  if (message.output && !IsStream(message.output->stream)) {
    return Fail(ErrorCode::kProtocol, "output of an unknown stream");
  }
  if (message.error && !IsStream(message.error->stream)) {
    return Fail(ErrorCode::kProtocol, "an error for an unknown stream");
  }
  if (message.error && message.error->traceback.size() > kMaxTracebackLines) {
    return Fail(ErrorCode::kProtocol, "a traceback of {} lines", message.error->traceback.size());
  }
  if (message.display) return CheckDisplay(*message.display);
  return {};
}

}  // namespace

std::string EncodeFrame(const ToDriver& message) {
  const std::string payload = base::json::Write(message);
  const uint32_t length = static_cast<uint32_t>(payload.size());
  std::string frame(kHeaderBytes, '\0');
  std::memcpy(frame.data(), &length, kHeaderBytes);
  return frame + payload;
}

base::Result<FromDriver> ParseMessage(std::string_view payload) {
  auto message = base::json::Parse<FromDriver>(payload);
  if (!message) return Fail(ErrorCode::kProtocol, "{}", message.error().message());
  TRY(Check(*message));
  return message;
}

base::Status FrameReader::Feed(std::string_view data, const std::function<void(Message)>& sink) {
  buffer_.append(data);
  size_t at = 0;
  while (buffer_.size() - at >= kHeaderBytes) {
    uint32_t length = 0;
    std::memcpy(&length, buffer_.data() + at, kHeaderBytes);
    if (length == 0 || length > kMaxPayload) {
      return Fail(ErrorCode::kProtocol, "a frame of {} bytes", length);
    }
    if (buffer_.size() - at - kHeaderBytes < length) break;
    const std::string_view payload(buffer_.data() + at + kHeaderBytes, length);
    sink({TRY(ParseMessage(payload)), length});
    at += kHeaderBytes + length;
  }
  buffer_.erase(0, at);
  return {};
}

}  // namespace msb::server::repl
