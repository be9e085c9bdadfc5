#include "src/cli/guest_files.h"

#include <signal.h>

#include <utility>

#include "src/base/bytes.h"

namespace msb::cli {

using base::ErrorCode;
using base::Fail;

// --- the sandbox ---------------------------------------------------------------------------------

base::Result<std::unique_ptr<GuestFiles>> GuestFiles::Connect(const std::string& sandbox) {
  std::unique_ptr<GuestFiles> files(new GuestFiles(sandbox));
  GuestFiles* raw = files.get();
  files->loop_ = TRY(base::EventLoop::Create());
  files->client_ = TRY(sandbox::Client::Connect(
      *files->loop_, sandbox,
      {.on_stopping = {},
       .on_resumed = {},
       .on_limits = {},
       .on_ended = [raw](const sandbox::Ended&) { raw->ended_ = true; },
       .on_failure = [raw](const agent::Failure&) { raw->ended_ = true; }}));
  // SIGPIPE: nobody reads what we write; the write says so.
  files->signals_ =
      TRY(files->loop_->AddSignals({SIGINT, SIGTERM, SIGHUP, SIGPIPE}, [raw](const auto& info) {
        if (info.ssi_signo != SIGPIPE) raw->signal_ = static_cast<int>(info.ssi_signo);
      }));
  return files;
}

base::Status GuestFiles::RunUntil(const std::function<bool()>& done) {
  for (;;) {
    if (signal_ != 0) return Fail(ErrorCode::kClosed, "interrupted");
    if (done()) return {};
    if (ended_) return Fail(ErrorCode::kClosed, "sandbox {} has ended", sandbox_);
    TRY(loop_->RunOnce(-1));
  }
}

base::Status GuestFiles::WaitReadable(int fd) {
  bool readable = false;
  auto watch = loop_->Add(fd, EPOLLIN, [&](uint32_t) { readable = true; });
  if (!watch) {
    if (watch.error().sys_errno() == EPERM) return {};  // a file: always
    return base::Status(std::move(watch).error());
  }
  return RunUntil([&] { return readable; });
}

base::Error GuestFiles::Failed(const agent::Failure& failure) const {
  const std::string message = base::EscapeForTerminal(failure.message.data.substr(0, 1000));
  switch (failure.code) {
    case agent::FailureCode::kNotFound:
      return Fail(ErrorCode::kNotFound, "{}: {}", sandbox_, message);
    case agent::FailureCode::kUnsupported:
      return Fail(ErrorCode::kUnsupported,
                  "{}: {}: the sandbox was started by an older version, restart it", sandbox_,
                  message);
    default:
      return Fail(ErrorCode::kSystem, "{}: {}", sandbox_, message);
  }
}

base::Result<std::optional<agent::FileStatus>> GuestFiles::Stat(const std::string& path,
                                                                const std::string& user) {
  if (!control_) control_ = TRY(agent::Control::Create(*loop_, TRY(ConnectAgent()), {}));
  std::optional<agent::Answer<agent::FileStatus>> answer;
  control_->SendStatFile({.path = path, .user = user},
                         [&](agent::Answer<agent::FileStatus> got) { answer = std::move(got); });
  const base::Status ran = RunUntil([&] { return answer.has_value(); });
  if (!ran) {
    control_.reset();  // what it would still call is gone
    return base::Error(ran.error());
  }
  if (*answer) return std::optional(**answer);
  if (answer->error().code == agent::FailureCode::kNotFound) {
    return std::optional<agent::FileStatus>();
  }
  return Failed(answer->error());
}

// --- out of it -----------------------------------------------------------------------------------

base::Result<std::unique_ptr<PackStream>> PackStream::Open(GuestFiles& files,
                                                           const agent::Pack& request,
                                                           OnSkipped on_skipped) {
  std::unique_ptr<PackStream> stream(new PackStream(files));
  PackStream* raw = stream.get();
  stream->transfer_ = TRY(agent::FileTransfer::PackTree(
      files.loop(), TRY(files.ConnectAgent()), request,
      {.on_opened = [raw](const agent::FileStatus& status) { raw->top_ = status; },
       .on_data =
           [raw](std::string_view data) {
             raw->arriving_ += data;
             if (raw->arriving_.size() >= kMaxBuffered) raw->transfer_->Pause();
           },
       .on_entries = {},
       .on_skipped = std::move(on_skipped),
       .on_writable = {},
       .on_unpacked = {},
       .on_done = [raw](const agent::FileStatus&) { raw->done_ = true; },
       .on_failed = [raw](const agent::Failure& failure) { raw->failure_ = failure; }}));
  TRY(files.RunUntil([raw] { return raw->top_.has_value() || raw->over(); }));
  if (raw->failure_) return files.Failed(*raw->failure_);
  return stream;
}

base::Result<std::string_view> PackStream::Next() {
  if (arriving_.empty()) {
    TRY(files_.RunUntil([this] { return !arriving_.empty() || over(); }));
  }
  current_.clear();
  current_.swap(arriving_);
  if (current_.empty()) {
    if (failure_) return files_.Failed(*failure_);
    return std::string_view();
  }
  if (!over()) transfer_->Resume();
  consumed_ += current_.size();
  if (on_progress) on_progress(consumed_);
  return current_;
}

// --- into it -------------------------------------------------------------------------------------

base::Result<std::unique_ptr<UnpackStream>> UnpackStream::Open(GuestFiles& files,
                                                               const agent::Unpack& request) {
  std::unique_ptr<UnpackStream> stream(new UnpackStream(files));
  UnpackStream* raw = stream.get();
  stream->transfer_ = TRY(agent::FileTransfer::UnpackTree(
      files.loop(), TRY(files.ConnectAgent()), request,
      {.on_opened = {},
       .on_data = {},
       .on_entries = {},
       .on_skipped = {},
       .on_writable = {},
       .on_unpacked = [raw](const agent::Unpacked& unpacked) { raw->unpacked_ = unpacked; },
       .on_done = [raw](const agent::FileStatus&) { raw->done_ = true; },
       .on_failed = [raw](const agent::Failure& failure) { raw->failure_ = failure; }}));
  return stream;
}

base::Status UnpackStream::CheckAlive() const {
  return failure_ ? base::Status(files_.Failed(*failure_)) : base::Status();
}

base::Status UnpackStream::Send(std::string_view data) {
  while (!data.empty()) {
    TRY(files_.RunUntil([this] { return transfer_->Writable() > 0 || failure_; }));
    TRY(CheckAlive());
    const size_t put = transfer_->Put(data);
    data.remove_prefix(put);
    sent_ += put;
  }
  if (on_progress) on_progress(sent_);
  return {};
}

base::Status UnpackStream::Put(std::string_view data) {
  gathered_ += data;
  if (gathered_.size() < kGather) return {};
  TRY(Send(gathered_));
  gathered_.clear();
  return {};
}

base::Result<agent::Unpacked> UnpackStream::Finish() {
  TRY(Send(gathered_));
  gathered_.clear();
  transfer_->Finish();
  TRY(files_.RunUntil([this] { return done_ || failure_; }));
  TRY(CheckAlive());
  return *unpacked_;
}

}  // namespace msb::cli
