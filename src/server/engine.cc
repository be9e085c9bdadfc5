#include "src/server/engine.h"

#include <algorithm>
#include <deque>

#include "src/base/bytes.h"
#include "src/image/disk_record.h"
#include "src/sandbox/program_log.h"
#include "src/server/config.h"
#include "src/server/text.h"
#include "src/server/time_text.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr uint64_t kMiB = 1 << 20;

base::Status CheckNamespace(const Call& call, const std::string& name_space, bool all_allowed) {
  if (all_allowed && name_space == "*") {
    if (call.caller.namespace_ == "*") return {};
    return Fail(ErrorCode::kDenied, "this key is for namespace {} alone: pass namespace={}",
                call.caller.namespace_, call.caller.namespace_);
  }
  TRY(CheckName("namespace", name_space));
  if (call.caller.MayUseNamespace(name_space)) return {};
  return Fail(ErrorCode::kDenied, "this key is for namespace {}, not for {}: pass namespace={}",
              call.caller.namespace_, name_space, call.caller.namespace_);
}

api::SandboxStatus StatusOf(sandbox::Phase phase) {
  switch (phase) {
    case sandbox::Phase::kStarting:
      return api::SandboxStatus::kStarting;
    case sandbox::Phase::kRunning:
      return api::SandboxStatus::kRunning;
    case sandbox::Phase::kPaused:
      return api::SandboxStatus::kPaused;
    case sandbox::Phase::kStopping:
      return api::SandboxStatus::kStopping;
    case sandbox::Phase::kEnded:
      break;
  }
  return api::SandboxStatus::kStopped;
}

std::optional<double> Seconds(const std::optional<uint64_t>& ms) {
  if (!ms) return std::nullopt;
  return static_cast<double>(*ms) / 1000;
}

api::SandboxInfo SandboxInfoOf(const Listed& listed) {
  api::SandboxInfo info;
  info.namespace_ = listed.key.namespace_;
  info.name = listed.key.name;
  info.disk = listed.disk_bytes;
  if (listed.stored) {
    info.image = listed.stored->config.image.value_or("");
    info.memory = MemoryBytes(listed.stored->config) / kMiB;
  }
  if (!listed.state) return info;
  const sandbox::State& state = *listed.state;
  if (!listed.running()) {
    if (state.ended) info.last_end = base::EscapeForTerminal(state.ended->message);
    return info;
  }
  info.status = StatusOf(state.phase);
  info.id = state.id;
  info.image = state.image;
  info.memory = state.memory_bytes / kMiB;
  info.created = TimeText(state.created_ms);
  if (state.limits.lifetime_ends_ms) info.ends = TimeText(*state.limits.lifetime_ends_ms);
  info.idle = Seconds(state.limits.idle_ms);
  return info;
}

// The last lines of what came in pieces.
class LastLines {
 public:
  explicit LastLines(size_t most) : most_(most) {}

  void Add(const std::string& time, sandbox::LogStream stream, std::string_view text) {
    Open& open = open_[static_cast<size_t>(stream)];
    while (!text.empty()) {
      const size_t newline = text.find('\n');
      if (open.text.empty()) open.time = time;
      // A line without an end is cut, not kept.
      open.text +=
          text.substr(0, std::min(newline, kMaxLine - std::min(kMaxLine, open.text.size())));
      if (newline == std::string_view::npos) return;
      Close(stream);
      text.remove_prefix(newline + 1);
    }
  }
  std::vector<api::LogLine> Take() {
    for (const auto stream : {sandbox::LogStream::kStdout, sandbox::LogStream::kStderr}) {
      if (!open_[static_cast<size_t>(stream)].text.empty()) Close(stream);
    }
    return {lines_.begin(), lines_.end()};
  }

 private:
  static constexpr size_t kMaxLine = 64 * 1024;
  struct Open {
    std::string time, text;
  };
  void Close(sandbox::LogStream stream) {
    Open& open = open_[static_cast<size_t>(stream)];
    lines_.push_back({open.time, stream == sandbox::LogStream::kStdout ? "stdout" : "stderr",
                      ToUtf8(open.text)});
    if (lines_.size() > most_) lines_.pop_front();
    open = {};
  }

  size_t most_;
  std::array<Open, 2> open_;
  std::deque<api::LogLine> lines_;
};

base::Result<api::LogsResult> ReadLog(const Storage& storage, const SandboxKey& key, size_t most) {
  const auto found = LastRun(storage, key);
  if (!found) {
    // One that has not run since the host was started has no log.
    TRY(storage.Load(key));
    return api::LogsResult{};
  }
  LastLines lines(most);
  sandbox::LogReader reader(found->directory.get());
  const base::Status read = reader.ReadNew(
      [&](const sandbox::LogEntry& entry, std::string_view) {
        lines.Add(entry.time, entry.stream, entry.text.data);
      },
      [] {});
  if (!read && read.error().code() != ErrorCode::kNotFound) return read.error();
  return api::LogsResult{lines.Take()};
}

}  // namespace

std::string_view NameOf(const StreamEvent& event) { return kEventNames[event.index()]; }

base::Result<SandboxKey> CheckKey(const Call& call, const std::string& name_space,
                                  const std::string& sandbox) {
  TRY(CheckNamespace(call, name_space, /*all_allowed=*/false));
  TRY(CheckName("sandbox", sandbox));
  return SandboxKey{name_space, sandbox};
}

base::Result<std::unique_ptr<Engine>> Engine::Open(Loop& loop, std::string home,
                                                   const std::string& directory) {
  std::unique_ptr<Engine> engine(new Engine(loop));
  engine->sandboxes_ = TRY(Sandboxes::Open(loop, home, directory));
  TRY(image::AddDiskDirectory(home, directory));  // the disks pin images of the home
  return engine;
}

Async<base::Result<Instance::Use>> Engine::Use(const Call& call, std::string name_space,
                                               std::string sandbox) {
  CO_TRY(SandboxKey key, CheckKey(call, name_space, sandbox));
  co_return co_await sandboxes_->Find(std::move(key), call.cancellation);
}

Service::Reply<std::string> Engine::Start(Call call, api::StartParams params) {
  CO_TRY(SandboxKey key, CheckKey(call, params.namespace_, params.sandbox));
  CO_TRY(const auto warnings, co_await sandboxes_->Start(std::move(key), std::move(params.config),
                                                         params.reset, call.caller));
  // One sentence, which clients of all versions take and show.
  std::string message = fmt::format("Sandbox {} started successfully", params.sandbox);
  for (const std::string& warning : warnings) message += ". Warning: " + warning;
  co_return message;
}

Service::Reply<std::string> Engine::Stop(Call call, api::StopParams params) {
  constexpr double kMaxGrace_s = 3600;
  CO_TRY(SandboxKey key, CheckKey(call, params.namespace_, params.sandbox));
  if (!(params.grace >= 0 && params.grace <= kMaxGrace_s)) {
    co_return Fail(ErrorCode::kInvalid, "grace: {} is not a number of seconds from 0 to {}",
                   params.grace, kMaxGrace_s);
  }
  const auto grace = std::chrono::milliseconds(static_cast<int64_t>(params.grace * 1000));
  CO_TRY([[maybe_unused]] const bool ran, co_await sandboxes_->Stop(std::move(key), grace));
  co_return fmt::format("Sandbox {} stopped successfully", params.sandbox);
}

Service::Reply<std::string> Engine::Remove(Call call, api::SandboxRef params) {
  CO_TRY(SandboxKey key, CheckKey(call, params.namespace_, params.sandbox));
  CO_TRY(co_await sandboxes_->Remove(std::move(key)));
  co_return fmt::format("Sandbox {} removed successfully", params.sandbox);
}

Service::Reply<api::ListResult> Engine::List(Call call, api::ListParams params) {
  CO_TRY(CheckNamespace(call, params.namespace_, /*all_allowed=*/true));
  CO_TRY(const auto listed, co_await sandboxes_->List(params.namespace_));
  api::ListResult result;
  for (const Listed& one : listed) {
    if (!one.running() && !params.stopped) continue;
    result.sandboxes.push_back(SandboxInfoOf(one));
  }
  co_return result;
}

Service::Reply<api::TimeoutResult> Engine::SetTimeout(Call call, api::TimeoutParams params) {
  CO_TRY(CheckSeconds("lifetime", params.lifetime, /*zero=*/true));
  CO_TRY(CheckSeconds("idle", params.idle, /*zero=*/true));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  CO_TRY(const sandbox::Limits limits,
         co_await use->SetLimits(Milliseconds(params.lifetime), Milliseconds(params.idle)));
  api::TimeoutResult result;
  if (limits.lifetime_ends_ms) result.ends = TimeText(*limits.lifetime_ends_ms);
  result.idle = Seconds(limits.idle_ms);
  co_return result;
}

Service::Reply<api::LogsResult> Engine::Logs(Call call, api::LogsParams params) {
  constexpr double kMostLines = 10'000;
  CO_TRY(const SandboxKey key, CheckKey(call, params.namespace_, params.sandbox));
  CO_TRY(CheckWhole("tail", params.tail, 0, kMostLines, "lines"));
  auto log = co_await loop_.Offload(Loop::Lane::kLook, [storage = sandboxes_->storage(), key,
                                                        most = static_cast<size_t>(params.tail)] {
    return ReadLog(*storage, key, most);
  });
  if (!log) co_return sandboxes_->host_paths().Hide(log.error());
  co_return log;
}

Service::Reply<api::MetricsResult> Engine::Metrics(Call call, api::MetricsParams params) {
  CO_TRY(CheckNamespace(call, params.namespace_, /*all_allowed=*/true));
  if (params.sandbox) CO_TRY(CheckName("sandbox", *params.sandbox));
  CO_TRY(const auto listed, co_await sandboxes_->List(params.namespace_, Measuring::kYes));
  api::MetricsResult result;
  for (const Listed& one : listed) {
    const bool named = params.sandbox && one.key.name == *params.sandbox;
    if (params.sandbox ? !named : !one.running()) continue;
    result.sandboxes.push_back(sandboxes_->MetricsOf(one));
  }
  if (params.sandbox && result.sandboxes.empty()) {
    co_return Fail(ErrorCode::kNotFound, "there is no sandbox {} in namespace {}", *params.sandbox,
                   params.namespace_);
  }
  co_return result;
}

}  // namespace msb::server
