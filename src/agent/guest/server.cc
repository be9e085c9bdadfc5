#include "src/agent/guest/server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

uint64_t Microseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
}

}  // namespace

Server::Server(base::EventLoop& loop, Machine& machine, Options options)
    : loop_(loop),
      machine_(machine),
      options_(std::move(options)),
      file_workers_(
          loop,
          {.patience = options_.file_patience,
           .cgroup = [this] { return machine_.workload_cgroup(); },
           .lookups = {.user = [this](auto user) { return ResolveUser(user); },
                       .exec =
                           [this](const Exec& exec) { return LookUpExec(exec, surroundings()); }},
           .mount_of = [this](const std::string& path) { return mounts_.MountOf(path); }}) {}

Server::~Server() {
  // Sessions refer to processes, and both to us.
  for (auto& [number, session] : sessions_) session.reset();
}

base::Result<std::unique_ptr<Server>> Server::Create(base::EventLoop& loop, Machine& machine,
                                                     Options options) {
  std::unique_ptr<Server> server(new Server(loop, machine, std::move(options)));
  server->shutdown_ = std::make_unique<ShutdownSequence>(*server);
  // SIGPIPE: a program that closes its stdin must not end the agent.
  server->signals_ =
      TRY(loop.AddSignals({SIGCHLD, SIGPIPE}, [raw = server.get()](const signalfd_siginfo& info) {
        if (info.ssi_signo == SIGCHLD) raw->Reap();
      }));
  return server;
}

void Server::Accept(base::UniqueFd connection) {
  if (sessions_.size() >= kMaxConnections) return;  // closes it
  auto session = std::make_unique<Session>(*this, next_session_++, std::move(connection));
  if (!session->Open(loop_)) return;
  sessions_.emplace(session->number(), std::move(session));
}

// --- the root ------------------------------------------------------------------------------------

Outcome<Reply> Server::Configure(const agent::Configure& request) {
  if (configured_ || configure_failure_) {
    return Refuse(FailureCode::kInvalid, "configured before");
  }
  if (request.lowers.size() > kMaxLowers || request.volumes.size() > kMaxVolumes) {
    return Refuse(FailureCode::kLimit, "more than {} lowers or {} volumes", kMaxLowers,
                  kMaxVolumes);
  }
  const int64_t begun = base::BootTimeNanos();
  if (base::Status built = Build(request); !built) {
    configure_failure_ = Failure{FailureCode::kConfigure, base::Bytes(built.error().message())};
  } else {
    configured_ = true;
    mounts_.Follow(loop_, options_.mounts_path);
    hostname_ = request.hostname.data;
  }
  // Requests that came before their root.
  loop_.Defer([this] {
    for (const auto& [number, session] : sessions_) {
      if (!session->closed()) session->Resume();
    }
  });
  if (configure_failure_) return std::unexpected(*configure_failure_);
  const int64_t now = base::BootTimeNanos();
  Reply reply;
  reply.configured = Configured{.configure_us = static_cast<uint64_t>(now - begun) / 1000,
                                .uptime_us = static_cast<uint64_t>(now) / 1000};
  return reply;
}

base::Status Server::Build(const agent::Configure& request) {
  null_ = TRY(base::OpenFile("/dev/null", O_RDONLY));
  return machine_.Configure(request);
}

base::Result<Identity> Server::ResolveUser(std::string_view user) const {
  return ResolveUserIn(user, options_.passwd_path, options_.group_path);
}

Surroundings Server::surroundings() const {
  return {.passwd_path = options_.passwd_path,
          .group_path = options_.group_path,
          .hostname = hostname_,
          .cgroup_fd = machine_.workload_cgroup(),
          .null_fd = null_.get()};
}

// --- processes -----------------------------------------------------------------------------------

Outcome<Process*> Server::CreateProcess(const Exec& exec, const ExecLookup* lookup) {
  if (shutdown_->begun()) return Refuse(FailureCode::kBusy, "the sandbox is being stopped");
  if (processes_.contains(exec.id)) {
    return Refuse(FailureCode::kProcessExists, "process {} exists", exec.id);
  }
  if (processes_.size() >= kMaxProcesses) {
    return Refuse(FailureCode::kLimit, "{} processes run or wait to be collected", kMaxProcesses);
  }
  auto process = Process::Create(loop_, exec, surroundings(), lookup);
  if (!process) return std::unexpected(process.error());
  Process* raw = process->get();
  processes_[exec.id].process = *std::move(process);
  return raw;
}

Outcome<void> Server::Start(Process& process, Process::Done done) {
  if (shutdown_->begun()) return Refuse(FailureCode::kBusy, "the sandbox is being stopped");
  if (process.start_asked()) {
    return Refuse(FailureCode::kInvalid, "the process was started before");
  }
  const base::Bytes& program = process.exec().argv[0];
  const auto stuck = std::ranges::count_if(running_, [&](const auto& entry) {
    return entry.second->stuck() && entry.second->exec().argv[0] == program;
  });
  if (static_cast<size_t>(stuck) >= kMaxStuck) {
    return Refuse(FailureCode::kBusy,
                  "{}: {} of its processes are stuck in their start, in a file system that does "
                  "not answer: end the program in the sandbox that serves it, or restart the "
                  "sandbox",
                  program.data, stuck);
  }
  processes_.at(process.id()).oom_kills = machine_.OutOfMemoryKills();
  std::optional<std::chrono::milliseconds> patience;
  if (ExecMayWait()) patience = options_.file_patience;
  auto begun = process.Start(
      patience, [this, &process, done = std::move(done)](const Outcome<void>& started) {
        done(started);
        if (!started) NotStarted(process, started.error());
      });
  if (begun) {
    running_.emplace(process.pid(), &process);
  } else {
    NotStarted(process, begun.error());
  }
  return begun;
}

void Server::NotStarted(Process& process, const Failure& failure) {
  if (!process.running()) {  // else its exit is still to come
    std::erase_if(running_, [&](const auto& entry) { return entry.second == &process; });
    shutdown_->ProcessExited();
  }
  Entry& entry = processes_.at(process.id());
  entry.not_started = failure;
  for (const auto& [number, session] : sessions_) session->Leave(process);
  entry.collected = true;
  AnswerWaiters(entry);
}

Outcome<std::unique_ptr<FileTask>> Server::BeginFileTask(const Request& request,
                                                         FileWorkers::Callbacks callbacks) {
  if (shutdown_->begun()) return Refuse(FailureCode::kBusy, "the sandbox is being stopped");
  return file_workers_.Begin(request, std::move(callbacks));
}

Outcome<void> Server::StartTransfer(const HandedOver& connection,
                                    std::function<void(TransferChannel&)> work,
                                    std::function<void(TransferChannel&, const Failure&)> refuse) {
  if (shutdown_->begun()) return Refuse(FailureCode::kBusy, "the sandbox is being stopped");
  if (transfers_.size() >= kMaxTreeTransfers) {
    return Refuse(FailureCode::kLimit, "{} trees are being copied", kMaxTreeTransfers);
  }
  const auto pid = StartTransferProcess(connection, machine_.workload_cgroup(),
                                        {.lookup = [this](auto user) { return ResolveUser(user); },
                                         .work = std::move(work),
                                         .refuse = std::move(refuse)});
  if (!pid) return Refuse(FailureCode::kSystem, pid.error());
  if (const base::Status watched = WatchTransfer(*pid, connection.socket_fd); !watched) {
    ::kill(*pid, SIGKILL);
    return Refuse(FailureCode::kSystem, watched.error());
  }
  return {};
}

// One that waits for a file system does not see that its host has gone.
base::Status Server::WatchTransfer(pid_t pid, int socket_fd) {
  Transfer& transfer = transfers_[pid];
  transfer.socket = TRY(base::Duplicate(socket_fd));
  transfer.grace = TRY(loop_.AddTimer([pid] { ::kill(pid, SIGKILL); }));
  transfer.watch =
      TRY(loop_.Add(transfer.socket.get(), EPOLLRDHUP | EPOLLET,
                    [this, &transfer](uint32_t) { transfer.grace.Arm(options_.transfer_grace); }));
  return {};
}

Process* Server::FindProcess(const std::string& id) {
  const auto found = processes_.find(id);
  return found == processes_.end() ? nullptr : found->second.process.get();
}

Processes Server::ListProcesses() const {
  Processes list;
  size_t bytes = 0;
  for (const auto& [id, entry] : processes_) {
    const Process& process = *entry.process;
    ProcessInfo info{.id = id,
                     .pid = static_cast<uint32_t>(process.pid()),
                     .argv = {},
                     .pty = process.exec().pty.has_value(),
                     .attachments = static_cast<uint32_t>(process.attached().size()),
                     .exited = process.exited()};
    // Escaped, a byte takes up to six.
    constexpr size_t kOfEach = 256;
    if (bytes + kOfEach > kMaxReply) {
      list.truncated = true;
      break;
    }
    bytes += kOfEach;
    // Half of the room is for the arguments: the first ones of each process, as long as it lasts.
    for (const base::Bytes& argument : process.exec().argv) {
      const size_t length = argument.data.size() * 6 + 16;
      if (bytes + length > kMaxReply / 2) break;
      bytes += length;
      info.argv.push_back(argument);
    }
    list.processes.push_back(std::move(info));
  }
  return list;
}

void Server::Wait(Process& process, uint64_t session, uint32_t seq, bool collect) {
  Entry& entry = processes_.at(process.id());
  entry.waiters.push_back({session, seq, collect});
  if (process.exited() || entry.not_started) AnswerWaiters(entry);
}

void Server::AnswerWaiters(Entry& entry) {
  for (const Entry::Waiter& waiter : std::exchange(entry.waiters, {})) {
    Reply reply;
    reply.seq = waiter.seq;
    reply.exited = entry.process->exited();
    if (!reply.exited) reply.failure = entry.not_started;
    // A status that nobody got is kept.
    if (AnswerTo(waiter.session, std::move(reply)) && waiter.collect) entry.collected = true;
  }
  sweep_needed_ = true;
  ScheduleSettle();
}

bool Server::AnswerTo(uint64_t session, Reply reply) {
  Session* const found = FindSession(session);
  if (found == nullptr) return false;
  found->Answer(std::move(reply));
  return true;
}

Session* Server::FindSession(uint64_t number) {
  const auto found = sessions_.find(number);
  if (found == sessions_.end() || found->second->closed()) return nullptr;
  return found->second.get();
}

void Server::SignalAll(int signal) {
  for (const auto& [pid, process] : running_) ::kill(pid, signal);
}

void Server::Reap() {
  for (;;) {
    int status = 0;
    rusage usage = {};
    const pid_t pid = ::wait4(-1, &status, WNOHANG, &usage);
    if (pid <= 0) {
      if (pid < 0 && errno == EINTR) continue;
      return;
    }
    if (const auto found = running_.find(pid); found != running_.end()) {
      found->second->ProcessEnded();
    }
    const auto found = running_.find(pid);
    if (found == running_.end()) {
      if (!file_workers_.Reaped(pid)) transfers_.erase(pid);
      continue;  // or one that was not started, or an orphan of the workload
    }
    Process& process = *found->second;
    running_.erase(found);
    Exited exited{.signaled = WIFSIGNALED(status),
                  .value = static_cast<uint32_t>(WIFSIGNALED(status) ? WTERMSIG(status)
                                                                     : WEXITSTATUS(status)),
                  .out_of_memory = false,
                  .cpu_us = Microseconds(usage.ru_utime) + Microseconds(usage.ru_stime)};
    ProcessExited(process, exited);
  }
}

void Server::ProcessExited(Process& process, const Exited& exited) {
  Entry& entry = processes_.at(process.id());
  Exited final = exited;
  // 137 also from a shell whose child was killed.
  if (exited.ShellCode() == 128 + SIGKILL) {
    final.out_of_memory = machine_.OutOfMemoryKills() > entry.oom_kills;
  }
  process.Exit(final);
  AnswerWaiters(entry);
  shutdown_->ProcessExited();
}

// --- sessions ------------------------------------------------------------------------------------

void Server::ScheduleFlush(Session& session) {
  if (session.flush_scheduled) return;
  session.flush_scheduled = true;
  to_flush_.push_back(session.number());
  ScheduleSettle();
}

void Server::Closed(Session& session) {
  to_close_.push_back(session.number());
  sweep_needed_ = true;
  ScheduleSettle();
}

void Server::ScheduleSettle() {
  if (std::exchange(settle_scheduled_, true)) return;
  loop_.Defer([this] { Settle(); });
}

// Once a batch of events: what they caused is sent together, and what they ended goes.
void Server::Settle() {
  settle_scheduled_ = false;
  for (const uint64_t number : std::exchange(to_flush_, {})) {
    const auto found = sessions_.find(number);
    if (found == sessions_.end()) continue;
    found->second->flush_scheduled = false;
    found->second->Flush();
  }
  for (const uint64_t number : std::exchange(to_close_, {})) {
    sessions_.erase(number);
    for (auto& [id, entry] : processes_) {
      std::erase_if(entry.waiters, [&](const auto& waiter) { return waiter.session == number; });
    }
    shutdown_->SessionClosed(number);
  }
  if (std::exchange(sweep_needed_, false)) SweepProcesses();
}

void Server::SweepProcesses() {
  for (auto at = processes_.begin(); at != processes_.end();) {
    Process& process = *at->second.process;
    const bool unattached = process.attached().empty();
    const bool kills = process.exec().unattached == WhenUnattached::kKill;
    if (unattached && kills && process.running()) process.Abandon();
    const bool gone = unattached && !process.running() && (kills || at->second.collected);
    at = gone ? processes_.erase(at) : std::next(at);
  }
}

// --- the end -------------------------------------------------------------------------------------

void Server::Shutdown(const agent::Shutdown& request, uint64_t session, uint32_t seq) {
  if (base::Status begun = shutdown_->Ask(request, session, seq); !begun) {
    Reply reply;
    reply.seq = seq;
    reply.failure = Failure{FailureCode::kSystem, base::Bytes(begun.error().message())};
    AnswerTo(session, std::move(reply));
  }
}

}  // namespace msb::agent
