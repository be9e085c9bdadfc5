// What becomes of requests about files: a worker does them (file_workers.h), step by step; here are
// the frames and the credit between it and the host.
#include <algorithm>
#include <utility>

#include "src/agent/guest/file_request.h"
#include "src/agent/guest/server.h"
#include "src/agent/guest/session.h"
#include "src/agent/guest/tree_transfer.h"
#include "src/base/json.h"

namespace msb::agent {
namespace {

// A frame of a file servant that looks up a program.
void TakeLookup(const Frame& frame, Outcome<ExecLookup>& lookup) {
  if (frame.type == FrameType::kData) {
    auto found = base::json::Parse<ExecLookup>(frame.payload);
    if (found) lookup = *std::move(found);
  } else if (const auto reply = base::json::Parse<Reply>(frame.payload); reply && reply->failure) {
    lookup = std::unexpected(*reply->failure);
  }
}

}  // namespace

Outcome<void> Session::ServeFile(const Request& request) {
  if (UsesUpConnection(request) && used()) return RefuseInUse();
  if (request.pack || request.unpack) return HandOver(request);
  return BeginFileWork(request);
}

Outcome<void> Session::BeginFileWork(const Request& request) {
  const auto work = file_works_.emplace(file_works_.end());
  work->seq = request.seq;
  auto task = server_.BeginFileTask(
      request, {.on_frame = [this, work](const Frame& frame) { OnFileFrame(work, frame); },
                .on_turn = [this, work](Turn turn, size_t taken) { OnFileTurn(work, turn, taken); },
                .on_lost = [this, work](const Failure& failure) { OnFileLost(work, failure); }});
  if (!task) {
    file_works_.erase(work);
    return std::unexpected(task.error());
  }
  work->task = *std::move(task);
  if (!UsesUpConnection(request)) return {};
  transfer_ = &*work;
  work->takes_data = request.write_file.has_value();
  credit_ = work->takes_data ? kInitialCredit : 0;
  return {};
}

void Session::OnFileFrame(FileWorks::iterator work, const Frame& frame) {
  if (frame.type == FrameType::kReply) work->replied = true;
  queue_.Append(frame.type, frame.stream, frame.payload);
  Wake();
}

void Session::OnFileTurn(FileWorks::iterator work, Turn turn, size_t taken) {
  switch (turn) {
    case Turn::kFinished:
      return EndFileWork(work);
    case Turn::kNext:
      work->more = true;
      return Wake();
    case Turn::kData:
      taken_over_ -= std::min(taken, taken_over_);
      return GrantCredit();
    case Turn::kChanges:
    case Turn::kBusy:
      return;
  }
}

void Session::OnFileLost(FileWorks::iterator work, const Failure& failure) {
  if (work->replied && transfer_ == &*work) {
    Event event;
    event.broken = failure;
    queue_.Append(FrameType::kEvent, 0, base::json::Write(event));
  } else if (!work->replied) {
    Reply reply;
    reply.seq = work->seq;
    reply.failure = failure;
    queue_.Append(FrameType::kReply, 0, base::json::Write(reply));
  }
  EndFileWork(work);
}

void Session::EndFileWork(FileWorks::iterator work) {
  if (transfer_ == &*work) {
    transfer_ = nullptr;
    spent_ = true;
  }
  file_works_.erase(work);
  Wake();
}

// What has more for the host gets on as long as the host reads.
void Session::GoOnWithFiles() {
  if (transfer_ == nullptr || !transfer_->more || queue_.size() > kMaxQueued / 2) return;
  transfer_->more = false;
  transfer_->task->Next();
}

// Data, or its end.
base::Status Session::TakeFileData(const Frame& frame) {
  if (transfer_ == nullptr || !transfer_->takes_data || frame.stream != kStdin) {
    if (spent_) return {};
    return base::Fail(base::ErrorCode::kProtocol, "data, or an end, on stream {}", frame.stream);
  }
  if (frame.type == FrameType::kEnd) {
    transfer_->takes_data = false;
    transfer_->task->End();
    return {};
  }
  if (frame.payload.size() > credit_) {
    return base::Fail(base::ErrorCode::kProtocol, "data without credit");
  }
  credit_ -= frame.payload.size();
  taken_over_ += frame.payload.size();
  transfer_->task->Data(frame.payload);
  return {};
}

// For what has been written.
void Session::GrantCredit() {
  if (credit_ + taken_over_ > kCreditWindow / 2) return;
  const size_t granted = kCreditWindow - credit_ - taken_over_;
  queue_.AppendCredit(kStdin, static_cast<uint32_t>(granted));
  credit_ += granted;
  Wake();
}

// The connection is the child's from here on.
Outcome<void> Session::HandOver(const Request& request) {
  auto started = server_.StartTransfer(
      {.socket_fd = socket_.get(), .queue = queue_, .reader = reader_, .user = UserOf(request)},
      [&](TransferChannel& channel) {
        if (request.pack) {
          PackTree(*request.pack, request.seq, channel);
        } else {
          UnpackTree(*request.unpack, request.seq, channel);
        }
      },
      [&](TransferChannel& channel, const Failure& why) {
        RefuseTransfer(why, request.seq, channel);
      });
  if (!started) return started;
  Close();
  return {};
}

// Starting a program looks up paths: somebody else does that, who may wait.
Outcome<void> Session::LookUpExec(const Request& request) {
  const auto lookup = std::make_shared<Outcome<ExecLookup>>(
      Refuse(FailureCode::kSystem, "no answer of the process that looks up programs"));
  auto task = server_.BeginFileTask(
      request,
      {.on_frame = [lookup](const Frame& frame) { TakeLookup(frame, *lookup); },
       .on_turn = [this, request, lookup](Turn, size_t) { OnLookedUp(request, *lookup); },
       .on_lost = [this,
                   request](const Failure& lost) { OnLookedUp(request, std::unexpected(lost)); }});
  if (!task) return std::unexpected(task.error());
  lookup_ = *std::move(task);
  beginning_ = true;
  return {};
}

void Session::OnLookedUp(const Request& request, const Outcome<ExecLookup>& lookup) {
  const std::unique_ptr<FileTask> over = std::move(lookup_);
  beginning_ = false;
  if (!lookup) return RefuseRequest(request, lookup.error());
  if (auto begun = BeginExec(request, &*lookup); !begun) RefuseRequest(request, begun.error());
  Wake();  // for the frames that waited
}

}  // namespace msb::agent
