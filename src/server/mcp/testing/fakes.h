// Fakes for tests of MCP: an exchange without a connection, an outlet that keeps what it gets, a
// service without sandboxes.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/server/http/exchange.h"
#include "src/server/mcp/session.h"
#include "src/server/service.h"

namespace msb::server::mcp::testing {

class FakeExchange : public http::Exchange {
 public:
  explicit FakeExchange(http::Request request, std::string body = "")
      : request_(std::move(request)), body_(std::move(body)) {}

  const http::Request& request() const override { return request_; }
  Async<base::Result<std::string>> ReadBody(size_t limit) override;
  Async<base::Result<size_t>> ReadSome(std::span<char> buffer) override;
  std::optional<uint64_t> content_length() const override { return body_.size(); }
  Async<void> Respond(http::Response response) override;
  Async<base::Status> BeginStream(int status, std::string content_type, http::Headers headers,
                                  std::optional<uint64_t> length) override;
  Async<base::Status> Write(std::string data) override;
  Async<base::Status> EndStream() override;
  Async<base::Result<std::unique_ptr<http::WebSocket>>> Upgrade(size_t) override;
  Cancellation& cancellation() override { return cancellation_; }
  void Note(std::string) override {}

  // The client's connection breaks.
  void Break();

  int status() const { return response_.status; }
  const http::Response& response() const { return response_; }
  std::string Header(std::string_view name) const;
  const std::string& sent() const { return response_.body; }  // of a stream: until now
  bool answered() const override { return response_.status != 0; }
  bool finished() const { return answered_; }  // answered completely
  // The data of the events until now, without empty ones; and the id of the last.
  std::vector<Value> Events() const;
  std::string LastEventId() const;

 private:
  http::Request request_;
  std::string body_;
  http::Response response_ = {.status = 0};
  bool answered_ = false;
  bool broken_ = false;
  Cancellation cancellation_;
};

class KeepingOutlet : public Outlet {
 public:
  void Send(std::string message) override {
    sent.push_back(*base::json::ParseValue(message));
    if (on_send) on_send();
  }
  void Answer(std::string message) override { answers.push_back(*base::json::ParseValue(message)); }
  void Withdraw() override { ++withdrawn; }
  void Disconnect() override { ++disconnects; }

  std::vector<Value> sent;
  std::vector<Value> answers;
  std::function<void()> on_send;
  int withdrawn = 0;
  int disconnects = 0;
};

// What a test wants is what it answers; what it does not set is kUnsupported.
class FakeService : public Service {
 public:
  base::Result<std::string> start = std::string("Sandbox test started successfully");
  base::Result<std::string> stop = std::string("Sandbox test stopped successfully");
  base::Result<api::ListResult> list = api::ListResult{};
  base::Result<api::MetricsResult> metrics = api::MetricsResult{};
  base::Result<api::ReplResult> code = api::ReplResult{};
  base::Result<api::CommandResult> command = api::CommandResult{};
  base::Result<api::FileContent> content = api::FileContent{};
  base::Result<api::FileInfo> info = api::FileInfo{};
  base::Result<api::FileList> files = api::FileList{};
  std::vector<StreamEvent> events;  // what a run gives to its sink
  Event* hold = nullptr;            // a run waits for it, after these
  std::optional<api::StartParams> started;
  std::optional<api::ReplParams> ran;
  std::vector<std::string> stopped;

  Reply<std::string> Start(Call, api::StartParams params) override;
  Reply<std::string> Stop(Call, api::StopParams params) override;
  Reply<api::ListResult> List(Call, api::ListParams) override { co_return list; }
  Reply<api::MetricsResult> Metrics(Call, api::MetricsParams) override { co_return metrics; }
  Reply<api::ReplResult> RunCode(Call call, api::ReplParams params) override;
  Reply<api::CommandResult> RunCommand(Call call, api::CommandParams params) override;
  Reply<api::FileContent> ReadFile(Call, api::FileParams) override { co_return content; }
  Reply<api::FileInfo> WriteFile(Call, api::FileWriteParams) override { co_return info; }
  Reply<api::FileList> ListFiles(Call, api::FileListParams) override { co_return files; }

  Reply<std::string> Remove(Call, api::SandboxRef) override { co_return Unsupported(); }
  Reply<api::TimeoutResult> SetTimeout(Call, api::TimeoutParams) override {
    co_return Unsupported();
  }
  Reply<api::LogsResult> Logs(Call, api::LogsParams) override { co_return Unsupported(); }
  Reply<api::ContextInfo> CreateContext(Call, api::ContextCreateParams) override {
    co_return Unsupported();
  }
  Reply<api::ContextList> ListContexts(Call, api::SandboxRef) override { co_return Unsupported(); }
  Reply<api::ContextInfo> InterruptContext(Call, api::ContextParams) override {
    co_return Unsupported();
  }
  Reply<api::ContextInfo> RestartContext(Call, api::ContextParams) override {
    co_return Unsupported();
  }
  Reply<api::Empty> RemoveContext(Call, api::ContextParams) override { co_return Unsupported(); }
  Reply<api::ProcessStarted> StartProcess(Call, api::ProcessStartParams) override {
    co_return Unsupported();
  }
  Reply<api::ProcessEnd> AttachProcess(Call, api::ProcessAttachParams) override {
    co_return Unsupported();
  }
  Reply<api::ProcessEnd> WaitProcess(Call, api::ProcessWaitParams) override {
    co_return Unsupported();
  }
  Reply<api::Empty> WriteProcess(Call, api::ProcessWriteParams) override {
    co_return Unsupported();
  }
  Reply<api::Empty> SignalProcess(Call, api::ProcessSignalParams) override {
    co_return Unsupported();
  }
  Reply<api::Empty> ResizeProcess(Call, api::ProcessResizeParams) override {
    co_return Unsupported();
  }
  Reply<api::ProcessList> ListProcesses(Call, api::SandboxRef) override { co_return Unsupported(); }
  Reply<api::FileInfo> StatFile(Call, api::FileParams) override { co_return Unsupported(); }
  Reply<api::FileInfo> MakeDirectory(Call, api::FileMkdirParams) override {
    co_return Unsupported();
  }
  Reply<api::FileInfo> MoveFile(Call, api::FileMoveParams) override { co_return Unsupported(); }
  Reply<api::Empty> RemoveFile(Call, api::FileRemoveParams) override { co_return Unsupported(); }
  Reply<api::Empty> WatchFiles(Call, api::FileWatchParams) override { co_return Unsupported(); }

 private:
  static base::Error Unsupported() {
    return {base::ErrorCode::kUnsupported, "the fake service does not do this"};
  }
  Async<void> Feed(Call call);
};

}  // namespace msb::server::mcp::testing
