// What each request does: see the comments of src/agent/protocol.h.
#include <utility>

#include "src/agent/guest/process.h"
#include "src/agent/guest/server.h"
#include "src/agent/guest/session.h"
#include "src/base/json.h"

namespace msb::agent {
namespace {

std::unexpected<Failure> InUse() {
  return Refuse(FailureCode::kProtocol, "this connection is in use: one attachment or transfer");
}

Reply ReplyOf(Outcome<void> outcome) {
  Reply reply;
  if (!outcome) reply.failure = outcome.error();
  return reply;
}

size_t CountOf(const Request& request) {
  return static_cast<size_t>(request.ping.has_value()) + request.configure.has_value() +
         request.exec.has_value() + request.attach.has_value() + request.start.has_value() +
         request.signal.has_value() + request.resize.has_value() + request.wait.has_value() +
         request.list_processes.has_value() + request.read_file.has_value() +
         request.write_file.has_value() + request.stat_file.has_value() +
         request.list_directory.has_value() + request.shutdown.has_value();
}

}  // namespace

bool Session::NeedsRoot(const Request& request) const {
  return request.exec || request.read_file || request.write_file || request.stat_file ||
         request.list_directory;
}

void Session::Resume() {
  if (const auto request = std::exchange(waiting_, std::nullopt)) Serve(*request);
  ReadFrames();
}

void Session::Serve(const Request& request) {
  if (NeedsRoot(request) && !server_.configured()) {
    if (server_.configure_failure()) {
      Reply reply;
      reply.seq = request.seq;
      reply.failure = *server_.configure_failure();
      return Answer(std::move(reply));
    }
    waiting_ = request;
    return;
  }
  Outcome<Reply> reply = std::unexpected(Failure());
  if (request.container != 0) {
    reply = Refuse(FailureCode::kUnsupported, "container {}: only 0 exists", request.container);
  } else if (CountOf(request) == 0) {
    reply = Refuse(FailureCode::kUnsupported, "a request that this agent does not know");
  } else if (CountOf(request) > 1) {
    reply = Refuse(FailureCode::kInvalid, "several requests in one");
  } else if (request.wait) {
    auto process = FindProcess(request.wait->id);
    if (process) return server_.Wait(**process, number_, request.seq, request.wait->collect);
    reply = std::unexpected(process.error());
  } else if (request.shutdown) {
    return server_.Shutdown(*request.shutdown, number_, request.seq);
  } else if (request.list_directory) {
    auto listed = ServeList(*request.list_directory, request.seq);
    if (listed) return;
    reply = std::unexpected(listed.error());
  } else {
    if (request.write_file) receiver_seq_ = request.seq;
    reply = ServeNow(request);
    if (reply && request.write_file) return;  // answered when all is written
  }
  if (!reply) {
    // Data that was sent ahead of the answer is dropped when it comes.
    if (request.exec || request.attach || request.write_file) spent_ = true;
    Reply failed;
    failed.failure = reply.error();
    reply = std::move(failed);
  }
  reply->seq = request.seq;
  Answer(*std::move(reply));
}

Outcome<Reply> Session::ServeNow(const Request& request) {
  if (request.configure) return server_.Configure(*request.configure);
  if (request.exec) return ServeExec(*request.exec);
  if (request.attach) return ServeAttach(*request.attach);
  if (request.read_file) return ServeReadFile(*request.read_file);
  if (request.write_file) return ServeWriteFile(*request.write_file);
  if (request.list_processes) {
    Reply reply;
    reply.processes = server_.ListProcesses();
    return reply;
  }
  if (request.stat_file) {
    auto user = UserOf(request.stat_file->user);
    if (!user) return std::unexpected(user.error());
    auto status = DescribeFile(*request.stat_file, *user);
    if (!status) return std::unexpected(status.error());
    Reply reply;
    reply.file = *status;
    return reply;
  }
  if (request.start) {
    auto process = FindProcess(request.start->id);
    if (!process) return std::unexpected(process.error());
    return ReplyOf(server_.Start(**process));
  }
  if (request.signal) {
    auto process = FindProcess(request.signal->id);
    if (!process) return std::unexpected(process.error());
    return ReplyOf((*process)->Signal(request.signal->signal, request.signal->group));
  }
  if (request.resize) {
    auto process = FindProcess(request.resize->id);
    if (!process) return std::unexpected(process.error());
    return ReplyOf((*process)->Resize(request.resize->size));
  }
  return Reply();  // ping
}

Outcome<Process*> Session::FindProcess(const std::string& id) {
  Process* process = nullptr;
  if (!id.empty()) {
    process = server_.FindProcess(id);
  } else if (attached_) {
    process = &attached_->process();
  }
  if (process == nullptr) return Refuse(FailureCode::kNoSuchProcess, "no process {}", id);
  return process;
}

Outcome<Identity> Session::UserOf(const base::Bytes& user) const {
  if (user.empty()) return Identity();
  auto identity = server_.ResolveUser(user.data);
  if (!identity) return Refuse(FailureCode::kNoSuchUser, identity.error());
  return *std::move(identity);
}

Outcome<Reply> Session::ServeExec(const Exec& exec) {
  if (used()) return InUse();
  auto process = server_.CreateProcess(exec);
  if (!process) return std::unexpected(process.error());
  attached_ = std::make_unique<Attached>(**process, queue_, exec.hold_input, [this] { Wake(); });
  if (exec.start) {
    if (auto started = server_.Start(**process); !started) {
      attached_.reset();
      server_.Remove(**process);
      return std::unexpected(started.error());
    }
  }
  Reply reply;
  reply.started = Started{.pid = static_cast<uint32_t>((*process)->pid()),
                          .pty = exec.pty.has_value(),
                          .extra_streams = exec.extra_streams,
                          .offsets = attached_->Offsets()};
  return reply;
}

Outcome<Reply> Session::ServeAttach(const Attach& attach) {
  if (used()) return InUse();
  auto process = FindProcess(attach.id);
  if (!process) return std::unexpected(process.error());
  if (attach.input && (*process)->InputTaken()) {
    return Refuse(FailureCode::kBusy, "the input belongs to another attachment");
  }
  attached_ = std::make_unique<Attached>(**process, queue_, attach.input, [this] { Wake(); });
  for (const StreamOffset& wanted : attach.offsets) {
    attached_->StartAt(wanted.stream, wanted.offset);
  }
  if (attach.input) (*process)->GrantAll();
  const Exec& exec = (*process)->exec();
  Reply reply;
  reply.started = Started{.pid = static_cast<uint32_t>((*process)->pid()),
                          .pty = exec.pty.has_value(),
                          .extra_streams = exec.extra_streams,
                          .offsets = attached_->Offsets()};
  return reply;
}

Outcome<Reply> Session::ServeReadFile(const ReadFile& request) {
  if (used()) return InUse();
  auto user = UserOf(request.user);
  if (!user) return std::unexpected(user.error());
  auto opened = OpenForReading(request, *user);
  if (!opened) return std::unexpected(opened.error());
  transfer_ = std::move(opened->transfer);
  Reply reply;
  reply.file = opened->status;
  return reply;
}

Outcome<Reply> Session::ServeWriteFile(const WriteFile& request) {
  if (used()) return InUse();
  auto user = UserOf(request.user);
  if (!user) return std::unexpected(user.error());
  auto receiver = FileReceiver::Create(request, *user);
  if (!receiver) return std::unexpected(receiver.error());
  receiver_ = *std::move(receiver);
  receiver_credit_ = kInitialCredit;
  return Reply();
}

Outcome<void> Session::ServeList(const ListDirectory& request, uint32_t seq) {
  if (used()) return InUse();
  auto user = UserOf(request.user);
  if (!user) return std::unexpected(user.error());
  auto transfer = OpenDirectory(request, *user, seq);
  if (!transfer) return std::unexpected(transfer.error());
  transfer_ = *std::move(transfer);
  Wake();
  return {};
}

}  // namespace msb::agent
