// Server: the agent without the machine: sessions, the table of processes, the order of things from
// `configure` to `shutdown`.
//
// Owned by main (or a test), which brings it connections; owns sessions and processes. Reaps every
// child of the calling process, as PID 1 must: a test has no other children. One thread, on its
// event loop, which must outlive it and is not run once it is gone.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "src/agent/guest/accounts.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/file_workers.h"
#include "src/agent/guest/foreign_mounts.h"
#include "src/agent/guest/machine.h"
#include "src/agent/guest/process.h"
#include "src/agent/guest/session.h"
#include "src/agent/guest/shutdown.h"
#include "src/agent/guest/transfer_process.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class Server {
 public:
  struct Options {
    std::string passwd_path = "/etc/passwd";
    std::string group_path = "/etc/group";
    std::string mounts_path = "/proc/self/mountinfo";
    std::chrono::milliseconds file_patience{kFilePatience_ms};
    // What a transfer has to end by itself when its host has gone.
    std::chrono::milliseconds transfer_grace{5'000};
  };

  static base::Result<std::unique_ptr<Server>> Create(base::EventLoop& loop, Machine& machine,
                                                      Options options);
  ~Server();
  Server(const Server&) = delete;

  void Accept(base::UniqueFd connection);
  // Processes of one program that were given up in their start, and that the kernel does not let go
  // of: a small guest has 128 in all.
  static constexpr size_t kMaxStuck = 8;

  size_t sessions() const { return sessions_.size(); }
  size_t processes() const { return processes_.size(); }
  size_t transfers() const { return transfers_.size(); }
  size_t file_workers() const { return file_workers_.size(); }

  // --- for sessions
  bool configured() const { return configured_; }
  const std::optional<Failure>& configure_failure() const { return configure_failure_; }
  Outcome<Reply> Configure(const agent::Configure& request);
  base::Result<Identity> ResolveUser(std::string_view user) const;
  // Whether to look up a program's path may take for ever.
  bool ExecMayWait() { return mounts_.Any(); }
  Outcome<Process*> CreateProcess(const Exec& exec, const ExecLookup* lookup);  // see PlanExec
  // `done` is called once it is known whether its program runs, unless there is an error here. A
  // process that was not started goes: the connections of others that are attached to it end.
  Outcome<void> Start(Process& process, Process::Done done);
  Process* FindProcess(const std::string& id);
  Processes ListProcesses() const;
  void Wait(Process& process, uint64_t session, uint32_t seq, bool collect);
  void Shutdown(const agent::Shutdown& request, uint64_t session, uint32_t seq);
  // In a worker (file_workers.h).
  Outcome<std::unique_ptr<FileTask>> BeginFileTask(const Request& request,
                                                   FileWorkers::Callbacks callbacks);
  // In a child of its own (transfer_process.h).
  Outcome<void> StartTransfer(const HandedOver& connection,
                              std::function<void(TransferChannel&)> work,
                              std::function<void(TransferChannel&, const Failure&)> refuse);
  Session* FindSession(uint64_t number);  // null: it is gone
  void ScheduleFlush(Session& session);
  void Closed(Session& session);

  // --- for the shutdown
  Machine& machine() { return machine_; }
  base::EventLoop& loop() { return loop_; }
  bool AnyRunning() const { return !running_.empty(); }
  void SignalAll(int signal);
  void StopFileWork() { file_workers_.Stop(); }
  bool AnswerTo(uint64_t session, Reply reply);  // false: it is gone

 private:
  struct Entry {
    std::unique_ptr<Process> process;
    uint64_t oom_kills = 0;  // before its start
    bool collected = false;  // goes once it does not run and nobody is attached
    std::optional<Failure> not_started;
    struct Waiter {
      uint64_t session;
      uint32_t seq;
      bool collect;
    };
    std::vector<Waiter> waiters;
  };

  struct Transfer {
    base::UniqueFd socket;
    base::Watch watch;
    base::Timer grace;
  };

  Server(base::EventLoop& loop, Machine& machine, Options options);
  Surroundings surroundings() const;
  base::Status WatchTransfer(pid_t pid, int socket_fd);
  void Reap();
  base::Status Build(const agent::Configure& request);
  void NotStarted(Process& process, const Failure& failure);
  void ProcessExited(Process& process, const Exited& exited);
  void AnswerWaiters(Entry& entry);
  void ScheduleSettle();
  void Settle();
  void SweepProcesses();

  base::EventLoop& loop_;
  Machine& machine_;
  const Options options_;
  base::SignalWatch signals_;
  std::string hostname_ = "sandbox";
  base::UniqueFd null_;  // /dev/null, from before there was a workload
  bool configured_ = false;
  std::optional<Failure> configure_failure_;
  std::unordered_map<std::string, Entry> processes_;
  std::unordered_map<pid_t, Process*> running_;
  std::unordered_map<pid_t, Transfer> transfers_;
  FileWorkers file_workers_;
  ForeignMounts mounts_;
  uint64_t next_session_ = 1;
  std::unordered_map<uint64_t, std::unique_ptr<Session>> sessions_;
  std::vector<uint64_t> to_flush_;
  std::vector<uint64_t> to_close_;
  bool settle_scheduled_ = false;
  bool sweep_needed_ = false;
  // Declared last: its handlers use the rest.
  std::unique_ptr<ShutdownSequence> shutdown_;
};

}  // namespace msb::agent
