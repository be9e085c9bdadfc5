// Monitor: the life of one sandbox, from its lease's first message to the end of its run directory.
// Its phases: lifecycle.h.
//
// Single-threaded. It is the direct parent of both jails: when it dies, however, they die too. It
// never relays: streams to the agent are socket pairs whose ends it hands out. It keeps one control
// stream to the agent and, for a detached sandbox, the attachment of its program, whose output goes
// into the log.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "src/agent/client/attachment.h"
#include "src/agent/client/control.h"
#include "src/base/event_loop.h"
#include "src/base/log.h"
#include "src/base/result.h"
#include "src/base/sys.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/byte_rate.h"
#include "src/sandbox/guest_kernel.h"
#include "src/sandbox/guest_log.h"
#include "src/sandbox/host_identity.h"
#include "src/sandbox/lifecycle.h"
#include "src/sandbox/placement.h"
#include "src/sandbox/program_log.h"
#include "src/sandbox/protocol.h"
#include "src/sandbox/run_directory.h"
#include "src/sandbox/state.h"
#include "src/sandbox/vmm_process.h"

namespace msb::sandbox {

class Monitor {
 public:
  // How long a guest may take from its start until its agent has set up the root: generous, since
  // it ends only guests that hang.
  static constexpr std::chrono::seconds kStartDeadline{120};
  static constexpr size_t kMaxClients = 900;
  // What a stop by a limit or by SIGTERM leaves the programs.
  static constexpr std::chrono::seconds kGrace{10};
  // What a guest that answers may need beyond the grace, to kill what is left and settle its disks.
  static constexpr std::chrono::seconds kSettleTemporary{2};
  static constexpr std::chrono::seconds kSettle{60};
  // What a guest has at least to say that it is there, if its disk is kept.
  static constexpr std::chrono::seconds kAnswer{5};
  // What those who joined a program have to read its last output.
  static constexpr std::chrono::seconds kDrain{5};
  // A program that writes for ever must not keep the host's disk and another of its CPUs busy.
  static constexpr uint64_t kLogBurst = 32 << 20;
  static constexpr uint64_t kLogBytesPerSecond = 16 << 20;

  static base::Result<std::unique_ptr<Monitor>> Create(base::UniqueFd lease);
  ~Monitor();

  // Returns when the sandbox has ended and nothing of it is left.
  base::Status Run();

 private:
  struct Client {
    Client() = default;
    explicit Client(base::UniqueFd connected) : socket(std::move(connected)) {}

    base::UniqueFd socket;
    base::Watch watch;
    bool in_use = true;
    bool joined = false;  // reads the program's output, and has not said that it has it all
  };
  using Clients = std::list<Client>;

  Monitor(std::unique_ptr<base::EventLoop> loop, base::UniqueFd lease)
      : loop_(std::move(loop)), lease_(std::move(lease)) {}
  base::Status Watch();
  base::Status Listen();
  void OnAcceptFailed();

  // --- requests
  void OnLease();
  void OnClient(Clients::iterator client);
  // False: the client is gone or speaks nonsense.
  bool Serve(Client& client);
  void Handle(Client& client, const ToMonitor& message, std::vector<base::UniqueFd> fds);
  void Answer(const Client& client, const FromMonitor& message);
  void AnswerAll(const FromMonitor& message);

  // --- the start (monitor_start.cc)
  base::Status Start(const SandboxSpec& spec, const std::vector<base::UniqueFd>& fds);
  base::Status Describe();
  base::Status LockDisks(const SandboxSpec& spec, const std::vector<base::UniqueFd>& fds);
  base::Status StartKernel(const SandboxSpec& spec);
  base::Status StartDevices(const SandboxSpec& spec, const std::vector<base::UniqueFd>& fds);
  base::Status ConfigureAgent(const SandboxSpec& spec);
  base::Status StartProgram(const agent::Exec& program);
  base::Status ConnectAgent(int stream_fd);
  void OnConfigured(const agent::Answer<agent::Configured>& answer);
  void OnStarted();  // of one that is detached: nobody needs to hold its lease any more
  void OnReady();

  // --- what happens then
  bool Apply(Happening happening);  // false: it changes nothing
  base::Status WriteState();
  static base::Status CheckLimits(const SetLimits& limits);
  void ApplyLimits(const SetLimits& limits);
  base::Status ChangeLimits(const SetLimits& limits);
  void UpdateIdle();
  base::Status MoveTo(int cpu);
  void OnOutput(LogStream stream, std::string_view data);
  void OnProgramFailed(const agent::Failure& failure);
  void OnProgramExit(const agent::Exited& exited);
  void GoOnWithoutProgram();
  // Once the program has ended and whoever joined it has read all, or has had the time.
  void EndIfReceived();
  void OnProgramReceived();
  void OnVmmEvent(const vmm::FromVmm& event);
  void Notice(const char* line);
  void OnKernelStatus();
  base::Status ResumeDisks();

  // --- the end (monitor_end.cc)
  // Without grace a temporary sandbox is gone when this returns.
  void Stop(EndReason reason, std::chrono::milliseconds grace);
  void AskForShutdown(std::chrono::milliseconds grace);
  void OnDeadline();
  std::string StopMessage() const;
  // The first reason stands. Everything is killed and reaped when this returns, and the loop stops.
  void End(EndReason reason, std::string message, bool show_log = false);
  int ExitCodeFor(EndReason reason) const;
  void KeepRecord();

  std::unique_ptr<base::EventLoop> loop_;
  Client lease_;
  base::SignalWatch signals_;
  base::UniqueFd listener_;
  base::Watch listener_watch_;
  Clients clients_;

  SandboxSpec spec_;
  Phase phase_ = Phase::kStarting;
  State state_;
  HostIdentity identity_;
  std::optional<RunDirectory> run_;
  std::unique_ptr<Placement> placement_;
  std::unique_ptr<GuestLog> log_;
  std::optional<GuestKernel> kernel_;
  base::Watch kernel_watch_;
  std::unique_ptr<VmmProcess> vmm_;
  base::Watch vmm_watch_;
  std::unique_ptr<agent::Control> agent_;
  std::optional<ProgramLog> program_log_;
  ByteRate log_rate_{kLogBurst, kLogBytesPerSecond};
  base::Timer log_again_;  // armed: the program's output waits
  std::unique_ptr<agent::Attachment> program_;
  std::string program_end_;                            // for people
  std::optional<int> program_code_;                    // how it ended, or why it never ran
  std::optional<agent::FailureCode> program_refusal_;  // likewise, of one that never ran
  base::Timer deadline_;                               // of the start, then of the stop
  base::Timer lifetime_;
  base::Timer idle_;
  base::Timer drain_;  // armed: the program has ended
  base::Timer accept_again_;
  base::LogRate notices_;               // a guest can cause them
  base::LogRate disk_events_{60, 500};  // a taken-over msb-vmm can
  std::string vmm_complaint_;           // why msb-vmm said that it gives up
  uint32_t next_stream_ = 1;
  bool ready_ = false;
  bool disk_full_ = false;
  std::optional<EndReason> stop_reason_;
  std::optional<int64_t> stop_by_ns_;  // CLOCK_MONOTONIC
  bool guest_answers_ = false;         // since the stop
  std::optional<Ended> ended_;
};

}  // namespace msb::sandbox
