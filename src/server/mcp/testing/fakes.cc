#include "src/server/mcp/testing/fakes.h"

namespace msb::server::mcp::testing {

using base::ErrorCode;
using base::Fail;
using base::Result;
using base::Status;

Async<Result<std::string>> FakeExchange::ReadBody(size_t limit) {
  if (body_.size() > limit) {
    co_return Fail(ErrorCode::kLimit, "the body is longer than {} bytes", limit);
  }
  co_return body_;
}

Async<Result<size_t>> FakeExchange::ReadSome(std::span<char>) { co_return 0; }

Async<void> FakeExchange::Respond(http::Response response) {
  response_ = std::move(response);
  answered_ = true;
  co_return;
}

Async<Status> FakeExchange::BeginStream(int status, std::string content_type, http::Headers headers,
                                        std::optional<uint64_t>) {
  if (broken_) co_return Fail(ErrorCode::kClosed, "the client has gone");
  response_ = {.status = status,
               .content_type = std::move(content_type),
               .body = "",
               .headers = std::move(headers)};
  co_return Status();
}

Async<Status> FakeExchange::Write(std::string data) {
  if (broken_) co_return Fail(ErrorCode::kClosed, "the client has gone");
  response_.body += data;
  co_return Status();
}

Async<Status> FakeExchange::EndStream() {
  answered_ = true;
  co_return Status();
}

Async<Result<std::unique_ptr<http::WebSocket>>> FakeExchange::Upgrade(size_t) {
  co_return Fail(ErrorCode::kInvalid, "not a WebSocket handshake");
}

void FakeExchange::Break() {
  broken_ = true;
  cancellation_.Cancel();
}

std::string FakeExchange::Header(std::string_view name) const {
  for (const auto& [key, value] : response_.headers) {
    if (key == name) return value;
  }
  return "";
}

std::vector<Value> FakeExchange::Events() const {
  constexpr std::string_view kData = "data: ";
  std::vector<Value> events;
  for (std::string_view rest = response_.body; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.starts_with(kData) && line.size() > kData.size()) {
      events.push_back(*base::json::ParseValue(line.substr(kData.size())));
    }
  }
  return events;
}

std::string FakeExchange::LastEventId() const {
  const size_t at = response_.body.rfind("id: ");
  if (at == std::string::npos) return "";
  return response_.body.substr(at + 4, response_.body.find('\n', at) - at - 4);
}

Async<void> FakeService::Feed(Call call) {
  for (const StreamEvent& event : events) (void)co_await call.sink->Put(event);
  if (hold != nullptr) co_await hold->Wait();
}

Service::Reply<std::string> FakeService::Start(Call, api::StartParams params) {
  started = std::move(params);
  co_return start;
}

Service::Reply<std::string> FakeService::Stop(Call, api::StopParams params) {
  stopped.push_back(params.namespace_ + "/" + params.sandbox);
  co_return stop;
}

Service::Reply<api::ReplResult> FakeService::RunCode(Call call, api::ReplParams params) {
  ran = std::move(params);
  co_await Feed(call);
  co_return code;
}

Service::Reply<api::CommandResult> FakeService::RunCommand(Call call, api::CommandParams) {
  co_await Feed(call);
  co_return command;
}

}  // namespace msb::server::mcp::testing
