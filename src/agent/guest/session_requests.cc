// What each request does: see the comments of src/agent/protocol.h.
#include <boost/mp11.hpp>

#include <utility>

#include "src/agent/guest/file_request.h"
#include "src/agent/guest/process.h"
#include "src/agent/guest/server.h"
#include "src/agent/guest/session.h"
#include "src/base/json.h"

namespace msb::agent {
namespace {

Reply ReplyOf(Outcome<void> outcome) {
  Reply reply;
  if (!outcome) reply.failure = outcome.error();
  return reply;
}

// How many of the members that are requests are set.
size_t CountOf(const Request& request) {
  size_t count = 0;
  boost::mp11::mp_for_each<boost::describe::describe_members<Request, boost::describe::mod_public>>(
      [&](auto member) {
        if constexpr (requires { (request.*member.pointer).has_value(); }) {
          count += (request.*member.pointer).has_value();
        }
      });
  return count;
}

}  // namespace

bool Session::NeedsRoot(const Request& request) const {
  return request.exec || IsAboutFiles(request);
}

std::unexpected<Failure> Session::RefuseInUse() {
  return Refuse(FailureCode::kProtocol, "this connection is in use: one attachment or transfer");
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
  } else if (request.exec || request.start || IsAboutFiles(request)) {
    auto begun = request.exec    ? ServeExec(request)
                 : request.start ? StartProcess(request)
                                 : ServeFile(request);
    if (begun) return;  // answered later
    reply = std::unexpected(begun.error());
  } else {
    reply = ServeNow(request);
  }
  if (!reply) return RefuseRequest(request, reply.error());
  reply->seq = request.seq;
  Answer(*std::move(reply));
}

void Session::RefuseRequest(const Request& request, const Failure& failure) {
  // Data that was sent ahead of the answer is dropped when it comes.
  if (request.exec || request.attach || request.write_file || request.unpack) spent_ = true;
  Reply reply;
  reply.seq = request.seq;
  reply.failure = failure;
  Answer(std::move(reply));
}

Outcome<Reply> Session::ServeNow(const Request& request) {
  if (request.configure) return server_.Configure(*request.configure);
  if (request.attach) return ServeAttach(*request.attach);
  if (request.list_processes) {
    Reply reply;
    reply.processes = server_.ListProcesses();
    return reply;
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

Outcome<void> Session::ServeExec(const Request& request) {
  if (used()) return RefuseInUse();
  return server_.ExecMayWait() ? LookUpExec(request) : BeginExec(request, nullptr);
}

Outcome<void> Session::BeginExec(const Request& request, const ExecLookup* lookup) {
  const Exec& exec = *request.exec;
  auto process = server_.CreateProcess(exec, lookup);
  if (!process) return std::unexpected(process.error());
  if (exec.start) {
    auto begun = server_.Start(**process, [&server = server_, number = number_,
                                           seq = request.seq](const Outcome<void>& started) {
      if (Session* session = server.FindSession(number)) session->OnStarted(seq, started);
    });
    if (!begun) return begun;
    beginning_ = true;
  }
  attached_ = std::make_unique<Attached>(**process, queue_, exec.hold_input, [this] { Wake(); });
  if (!exec.start) Answer(DescribeAttached(request.seq));
  return {};
}

void Session::OnStarted(uint32_t seq, const Outcome<void>& started) {
  beginning_ = false;
  if (started) return Answer(DescribeAttached(seq));
  attached_.reset();
  spent_ = true;
  Reply reply;
  reply.seq = seq;
  reply.failure = started.error();
  Answer(std::move(reply));
}

Outcome<void> Session::StartProcess(const Request& request) {
  auto process = FindProcess(request.start->id);
  if (!process) return std::unexpected(process.error());
  return server_.Start(**process, [&server = server_, number = number_,
                                   seq = request.seq](const Outcome<void>& started) {
    Reply reply = ReplyOf(started);
    reply.seq = seq;
    server.AnswerTo(number, std::move(reply));
  });
}

Reply Session::DescribeAttached(uint32_t seq) const {
  const Process& process = attached_->process();
  Reply reply;
  reply.seq = seq;
  reply.started = Started{.pid = static_cast<uint32_t>(process.pid()),
                          .pty = process.exec().pty.has_value(),
                          .extra_streams = process.exec().extra_streams,
                          .offsets = attached_->Offsets()};
  return reply;
}

Outcome<Reply> Session::ServeAttach(const Attach& attach) {
  if (used()) return RefuseInUse();
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
  return DescribeAttached(0);
}

}  // namespace msb::agent
