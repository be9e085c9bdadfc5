// The engine's part that tells what happens to files.

#include "src/agent/client/directory_watch.h"
#include "src/server/backlog.h"
#include "src/server/engine.h"
#include "src/server/process_plan.h"
#include "src/server/text.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

std::string_view NameOf(agent::ChangeKind kind) {
  switch (kind) {
    case agent::ChangeKind::kCreated:
    case agent::ChangeKind::kRenamedTo:
      return "create";
    case agent::ChangeKind::kWritten:
      return "write";
    case agent::ChangeKind::kAttributes:
      return "chmod";
    case agent::ChangeKind::kRemoved:
      return "remove";
    case agent::ChangeKind::kRenamedFrom:
      return "rename";
    case agent::ChangeKind::kOverflow:
      break;
  }
  return "overflow";
}

// The changes of a directory, until somebody takes them.
class Watching {
 public:
  static constexpr size_t kMaxWaiting = kStreamBytes;

  explicit Watching(Loop& loop) : loop_(loop), changed_(loop.executor()) {}

  base::Status Begin(Guest& guest, const agent::WatchFiles& request) {
    path_ = request.path.data;
    agent::DirectoryWatch::Callbacks callbacks;
    callbacks.on_watching = [this](const agent::FileStatus&) {
      stands_ = true;
      changed_.Set();
    };
    callbacks.on_changes = [this](std::span<const agent::FileChange> changes) { Take(changes); };
    callbacks.on_failed = [this](const agent::Failure& failure) {
      failed_ = ErrorOf(failure);
      changed_.Set();
    };
    watch_ = TRY(agent::DirectoryWatch::Begin(loop_.events(), TRY(guest.NewStream()), request,
                                              std::move(callbacks)));
    return {};
  }

  // Until the directory is gone, or nobody listens.
  Async<base::Error> Follow(Sink& sink, Cancellation& cancellation) {
    const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
    for (;;) {
      changed_.Clear();
      if (cancellation.cancelled()) co_return Fail(ErrorCode::kClosed, "the client has gone");
      if (std::exchange(stands_, false)) {
        const base::Status said = co_await sink.Begun();
        if (!said) co_return said.error();
      }
      while (!events_.empty() && !cancellation.cancelled()) {
        const base::Status put = co_await sink.Put(events_.Pop());
        if (!put) co_return put.error();
      }
      if (events_.HasRoomAgain()) watch_->Resume();
      if (cancellation.cancelled()) continue;
      if (failed_ && events_.empty()) co_return *failed_;
      co_await changed_.Wait();
    }
  }

 private:
  void Take(std::span<const agent::FileChange> changes) {
    for (const agent::FileChange& change : changes) {
      const std::string& name = change.name.data;
      const bool slash = path_.ends_with('/') || name.empty();
      api::FileEvent event = {ToUtf8(path_ + (slash ? "" : "/") + name),
                              std::string(NameOf(change.kind))};
      const size_t cost = event.path.size() + sizeof event;
      if (events_.Push(std::move(event), cost)) watch_->Pause();
    }
    changed_.Set();
  }

  Loop& loop_;
  Event changed_;
  std::string path_;
  Backlog<api::FileEvent> events_{kMaxWaiting};
  bool stands_ = false;
  std::optional<base::Error> failed_;
  std::unique_ptr<agent::DirectoryWatch> watch_;
};

}  // namespace

Service::Reply<api::Empty> Engine::WatchFiles(Call call, api::FileWatchParams params) {
  if (call.sink == nullptr) {
    co_return Fail(ErrorCode::kInvalid,
                   "sandbox.files.watch answers with a stream: send Accept: text/event-stream, or "
                   "use the WebSocket");
  }
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  agent::WatchFiles request;
  request.path = params.path;
  request.user = UserOf(*use, params.user);
  request.recursive = params.recursive;
  Watching watching(loop_);
  CO_TRY(watching.Begin(use->guest(), request));
  co_return co_await use->Explain(call.cancellation,
                                  co_await watching.Follow(*call.sink, call.cancellation));
}

}  // namespace msb::server
