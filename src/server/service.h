// Service: the API's methods, as plain coroutines: what JSON-RPC, MCP and later E2B translate into.
//
// Owned by the server; one thread. Every method checks its parameters, and what its caller may do
// (Caller), before it does anything; an Error's code says what kind it is (errors.h), its message
// what to do. A method whose output comes over time gives it to the call's sink, if there is one,
// as it comes; else the result holds it, up to a bound.
//
// Names of sandboxes, paths, code, output: all of it is foreign.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "src/server/api/files.h"
#include "src/server/api/process.h"
#include "src/server/api/run.h"
#include "src/server/api/sandbox.h"
#include "src/server/async.h"
#include "src/server/auth/caller.h"

namespace msb::server {

using StreamEvent =
    std::variant<api::OutputEvent, api::Display, api::Exception, api::DroppedEvent, api::FileEvent>;
// What clients know them by, in the same order.
inline constexpr std::array<std::string_view, std::variant_size_v<StreamEvent>> kEventNames = {
    "output", "display", "exception", "dropped", "file"};
std::string_view NameOf(const StreamEvent& event);

// Where a call's events go as they come.
class Sink {
 public:
  virtual ~Sink() = default;
  // Waits until there is room for more. An Error: nobody listens any more.
  virtual Async<base::Status> Put(StreamEvent event) = 0;
  // What was asked for is in force from now on: said where that cannot be seen otherwise.
  virtual Async<base::Status> Begun() { co_return base::Status(); }
};

// What of a stream's events may wait to be taken, in bytes.
inline constexpr size_t kStreamBytes = 256 * 1024;

// One call of a method. Outlives it.
struct Call {
  const Caller& caller;
  Cancellation& cancellation;  // the client has gone: code is interrupted, programs are killed
  Sink* sink = nullptr;
};

class Service {
 public:
  virtual ~Service() = default;
  template <typename T>
  using Reply = Async<base::Result<T>>;

  virtual Reply<std::string> Start(Call call, api::StartParams params) = 0;
  virtual Reply<std::string> Stop(Call call, api::StopParams params) = 0;
  virtual Reply<std::string> Remove(Call call, api::SandboxRef params) = 0;
  virtual Reply<api::ListResult> List(Call call, api::ListParams params) = 0;
  virtual Reply<api::TimeoutResult> SetTimeout(Call call, api::TimeoutParams params) = 0;
  virtual Reply<api::LogsResult> Logs(Call call, api::LogsParams params) = 0;
  virtual Reply<api::MetricsResult> Metrics(Call call, api::MetricsParams params) = 0;

  virtual Reply<api::ReplResult> RunCode(Call call, api::ReplParams params) = 0;
  virtual Reply<api::CommandResult> RunCommand(Call call, api::CommandParams params) = 0;

  virtual Reply<api::ContextInfo> CreateContext(Call call, api::ContextCreateParams params) = 0;
  virtual Reply<api::ContextList> ListContexts(Call call, api::SandboxRef params) = 0;
  virtual Reply<api::ContextInfo> InterruptContext(Call call, api::ContextParams params) = 0;
  virtual Reply<api::ContextInfo> RestartContext(Call call, api::ContextParams params) = 0;
  virtual Reply<api::Empty> RemoveContext(Call call, api::ContextParams params) = 0;

  virtual Reply<api::ProcessStarted> StartProcess(Call call, api::ProcessStartParams params) = 0;
  virtual Reply<api::ProcessEnd> AttachProcess(Call call, api::ProcessAttachParams params) = 0;
  virtual Reply<api::ProcessEnd> WaitProcess(Call call, api::ProcessWaitParams params) = 0;
  virtual Reply<api::Empty> WriteProcess(Call call, api::ProcessWriteParams params) = 0;
  virtual Reply<api::Empty> SignalProcess(Call call, api::ProcessSignalParams params) = 0;
  virtual Reply<api::Empty> ResizeProcess(Call call, api::ProcessResizeParams params) = 0;
  virtual Reply<api::ProcessList> ListProcesses(Call call, api::SandboxRef params) = 0;

  virtual Reply<api::FileContent> ReadFile(Call call, api::FileParams params) = 0;
  virtual Reply<api::FileInfo> WriteFile(Call call, api::FileWriteParams params) = 0;
  virtual Reply<api::FileInfo> StatFile(Call call, api::FileParams params) = 0;
  virtual Reply<api::FileList> ListFiles(Call call, api::FileListParams params) = 0;
  virtual Reply<api::FileInfo> MakeDirectory(Call call, api::FileMkdirParams params) = 0;
  virtual Reply<api::FileInfo> MoveFile(Call call, api::FileMoveParams params) = 0;
  virtual Reply<api::Empty> RemoveFile(Call call, api::FileRemoveParams params) = 0;
  virtual Reply<api::Empty> WatchFiles(Call call, api::FileWatchParams params) = 0;
};

}  // namespace msb::server
