#include "src/agent/guest/file_servant.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "src/agent/guest/child_process.h"
#include "src/agent/guest/file_changes.h"
#include "src/agent/guest/file_request.h"
#include "src/agent/guest/file_watch.h"
#include "src/agent/guest/files.h"
#include "src/agent/guest/listing.h"
#include "src/agent/guest/transfer_process.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;
constexpr int64_t kSayBusyNs = 1'000'000'000;

Outcome<Reply> ReplyOf(Outcome<void> outcome) {
  if (!outcome) return std::unexpected(outcome.error());
  return Reply();
}

Outcome<Reply> ReplyOf(Outcome<FileStatus> status) {
  if (!status) return std::unexpected(status.error());
  Reply reply;
  reply.file = *status;
  return reply;
}

class FileServant {
 public:
  FileServant(int socket_fd, const ServantLookups& lookups)
      : socket_fd_(socket_fd), lookups_(lookups), channel_(socket_fd, queue_, reader_) {}

  // Until the agent has gone.
  base::Status Run() {
    for (;;) {
      if (watch_) TRY(AwaitChange());
      const Frame frame = TRY(channel_.Receive());
      TRY(Handle(frame));
      TRY(channel_.Flush());
    }
  }

 private:
  base::Status AwaitChange();
  base::Status Handle(const Frame& frame);
  Turn Begin(const Request& request);
  Turn LookUp(const Exec& exec);
  Outcome<Turn> Open(const Request& request, const Identity& user);
  Outcome<Reply> Do(const Request& request, const Identity& user);
  Turn Next();
  void TakeData(std::string_view piece);
  Turn FinishWrite();
  Turn Answer(Outcome<Reply> outcome);
  void Say(Turn turn, size_t taken) {
    queue_.AppendCredit(static_cast<unsigned>(turn), static_cast<uint32_t>(taken));
  }
  void SayBusy();

  const int socket_fd_;
  const ServantLookups& lookups_;
  FrameQueue queue_;
  FrameReader reader_{kBufferBytes, kMaxPayload};
  TransferChannel channel_;
  uint32_t seq_ = 0;
  std::unique_ptr<Transfer> transfer_;
  std::unique_ptr<FileReceiver> receiver_;
  size_t taken_ = 0;  // of a frame of which there is more
  std::unique_ptr<FileWatch> watch_;
  bool change_said_ = false;
  int64_t busy_said_ns_ = 0;
};

// Returns when the agent says something, or the watch has (once).
base::Status FileServant::AwaitChange() {
  while (!change_said_) {
    std::array<pollfd, 2> ready = {{{socket_fd_, POLLIN, 0}, {watch_->fd(), POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) {
      return base::FailErrno("cannot wait for changes");
    }
    if (ready[0].revents != 0) return {};
    if (ready[1].revents == 0) continue;
    change_said_ = true;
    Say(Turn::kNext, 0);
    TRY(channel_.Flush());
  }
  return {};
}

base::Status FileServant::Handle(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kRequest:
      Say(Begin(TRY(base::json::Parse<Request>(frame.payload))), 0);
      return {};
    case FrameType::kCredit:
      if (transfer_ || watch_) Say(Next(), 0);
      return {};
    case FrameType::kData:  // without a receiver: sent before it was known that there is none
      if (receiver_) TakeData(frame.payload);
      return {};
    case FrameType::kEnd:
      if (receiver_) Say(FinishWrite(), 0);
      return {};
    default:
      return base::Fail(base::ErrorCode::kProtocol, "a frame that is not for a servant");
  }
}

Turn FileServant::Begin(const Request& request) {
  seq_ = request.seq;
  if (request.exec) return LookUp(*request.exec);
  Identity user;
  if (const base::Bytes& name = UserOf(request); !name.empty()) {
    auto identity = lookups_.user(name.data);
    if (!identity) return Answer(Refuse(FailureCode::kNoSuchUser, identity.error()));
    user = *std::move(identity);
  }
  if (!UsesUpConnection(request)) return Answer(Do(request, user));
  auto opened = Open(request, user);
  return opened ? *opened : Answer(std::unexpected(opened.error()));
}

Turn FileServant::LookUp(const Exec& exec) {
  const auto lookup = lookups_.exec(exec);
  if (!lookup) return Answer(std::unexpected(lookup.error()));
  queue_.Append(FrameType::kData, 0, base::json::Write(*lookup));
  return Answer(Reply());
}

// What goes on after its first step.
Outcome<Turn> FileServant::Open(const Request& request, const Identity& user) {
  if (request.write_file) {
    auto receiver = FileReceiver::Create(*request.write_file, user);
    if (!receiver) return std::unexpected(receiver.error());
    receiver_ = *std::move(receiver);
    taken_ = 0;
    return Turn::kData;
  }
  if (request.list_directory) {
    auto listing = OpenListing(*request.list_directory, user, seq_);
    if (!listing) return std::unexpected(listing.error());
    transfer_ = *std::move(listing);
    return Turn::kNext;
  }
  if (request.watch_files) {
    auto begun = FileWatch::Begin(*request.watch_files, user);
    if (!begun) return std::unexpected(begun.error());
    watch_ = std::move(begun->watch);
    change_said_ = false;
    Answer(ReplyOf(begun->status));
    return Turn::kChanges;
  }
  auto opened = OpenForReading(*request.read_file, user);
  if (!opened) return std::unexpected(opened.error());
  transfer_ = std::move(opened->transfer);
  Answer(ReplyOf(opened->status));
  return Turn::kNext;
}

// What is done in one step.
Outcome<Reply> FileServant::Do(const Request& request, const Identity& user) {
  const auto busy = [this] { SayBusy(); };
  if (request.remove) return ReplyOf(RemoveAs(*request.remove, user, busy));
  if (request.rename) return ReplyOf(RenameAs(*request.rename, user, busy));
  if (request.make_directory) return ReplyOf(MakeDirectoryAs(*request.make_directory, user));
  if (request.change_mode) return ReplyOf(ChangeModeAs(*request.change_mode, user));
  if (request.make_symlink) return ReplyOf(MakeSymlinkAs(*request.make_symlink, user));
  if (request.stat_file) return ReplyOf(DescribeFile(*request.stat_file, user));
  auto target = ReadSymlinkAs(*request.read_symlink, user);
  if (!target) return std::unexpected(target.error());
  Reply reply;
  reply.target = *std::move(target);
  return reply;
}

Turn FileServant::Next() {
  if (!watch_) {
    if (transfer_->Fill(queue_)) return Turn::kNext;
    transfer_.reset();
    return Turn::kFinished;
  }
  switch (watch_->Fill(queue_)) {
    case FileWatch::Filled::kMore:
      return Turn::kNext;
    case FileWatch::Filled::kQuiet:
      change_said_ = false;
      return Turn::kChanges;
    case FileWatch::Filled::kOver:
      break;
  }
  watch_.reset();
  return Turn::kFinished;
}

// One turn for a whole frame, in however many pieces it comes: the agent counts them.
void FileServant::TakeData(std::string_view piece) {
  taken_ += piece.size();
  if (auto written = receiver_->Write(piece); !written) {
    receiver_.reset();
    return Say(Answer(std::unexpected(written.error())), 0);
  }
  if (reader_.InFrame()) return;
  Say(Turn::kData, std::exchange(taken_, 0));
}

Turn FileServant::FinishWrite() {
  auto status = receiver_->Finish();
  receiver_.reset();
  return Answer(ReplyOf(std::move(status)));
}

Turn FileServant::Answer(Outcome<Reply> outcome) {
  Reply reply;
  if (outcome) {
    reply = *std::move(outcome);
  } else {
    reply.failure = outcome.error();
  }
  reply.seq = seq_;
  queue_.Append(FrameType::kReply, 0, base::json::Write(reply));
  return Turn::kFinished;
}

// Now and then, from the middle of something long.
void FileServant::SayBusy() {
  const int64_t now = base::MonotonicNanos();
  if (now - busy_said_ns_ < kSayBusyNs) return;
  busy_said_ns_ = now;
  Say(Turn::kBusy, 0);
  (void)channel_.Flush();  // an agent that has gone is noticed at the end
}

}  // namespace

void RunFileServant(int socket_fd, int cgroup_fd, const ServantLookups& lookups) {
  base::Status ended = EnterCgroup(cgroup_fd);
  CloseOthers(socket_fd);
  ::prctl(PR_SET_NAME, "msb-files");
  ::umask(0);  // modes are the host's choice
  base::RaiseOpenFileLimit();
  if (ended) ended = base::SetNonBlocking(socket_fd, false);
  if (ended) ended = FileServant(socket_fd, lookups).Run();
  ::_exit(0);  // nothing of the parent's is to be destroyed or flushed
}

}  // namespace msb::agent
