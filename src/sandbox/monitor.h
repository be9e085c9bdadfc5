// Monitor: the life of one sandbox, from its lease's first message to the removal of its run
// directory.
//
//   waiting ──Start──> starting ──agent configured──> running ──Stop, lease closed──> stopping ──>
//   ended
//                         └───────── anything dies, or a deadline passes
//                         ───────────────────────────┘
//
// Single-threaded. It is the direct parent of both jails: when it dies, however, they die too. It
// never relays: streams to the agent are socket pairs whose ends it hands out.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "src/agent/client/control.h"
#include "src/base/event_loop.h"
#include "src/base/log.h"
#include "src/base/result.h"
#include "src/base/sys.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/guest_kernel.h"
#include "src/sandbox/guest_log.h"
#include "src/sandbox/host_identity.h"
#include "src/sandbox/protocol.h"
#include "src/sandbox/run_directory.h"
#include "src/sandbox/vmm_process.h"

namespace msb::sandbox {

class Monitor {
 public:
  // How long a guest may take from its start until its agent has set up the root: generous, since
  // it ends only guests that hang.
  static constexpr std::chrono::seconds kStartDeadline{120};
  static constexpr size_t kMaxClients = 64;

  static base::Result<std::unique_ptr<Monitor>> Create(base::UniqueFd lease);
  ~Monitor();

  // Returns when the sandbox has ended and nothing of it is left.
  base::Status Run();

 private:
  struct Client {
    base::UniqueFd socket;
    base::Watch watch;
  };
  using Clients = std::list<Client>;

  Monitor(std::unique_ptr<base::EventLoop> loop, base::UniqueFd lease)
      : loop_(std::move(loop)), lease_{std::move(lease), {}} {}
  base::Status Watch();
  base::Status Listen();

  void OnLease();
  void OnClient(Clients::iterator client);
  // False: the client is gone or speaks nonsense.
  bool Serve(Client& client);
  void Handle(Client& client, const ToMonitor& message, std::vector<base::UniqueFd> fds);
  static void Answer(const Client& client, const FromMonitor& message);

  base::Status Start(const SandboxSpec& spec, const std::vector<base::UniqueFd>& fds);
  base::Status StartKernel(const SandboxSpec& spec);
  base::Status StartDevices(const SandboxSpec& spec, const std::vector<base::UniqueFd>& fds);
  base::Status ConfigureAgent(const SandboxSpec& spec);
  base::Status ConnectAgent(int stream_fd);
  base::Status WriteState(const char* status);

  void OnConfigured(const agent::Answer<agent::Configured>& answer);
  void OnVmmEvent(const vmm::FromVmm& event);
  void Notice(const char* line);
  void OnKernelStatus();
  void OnStop(std::chrono::milliseconds grace);
  // The first reason stands. Everything is killed and reaped when this returns, and the loop stops.
  void End(EndReason reason, std::string message, bool show_log = false);

  std::unique_ptr<base::EventLoop> loop_;
  Client lease_;
  base::SignalWatch signals_;
  base::UniqueFd listener_;
  base::Watch listener_watch_;
  Clients clients_;

  SandboxSpec spec_;
  HostIdentity identity_;
  std::optional<RunDirectory> run_;
  std::unique_ptr<GuestLog> log_;
  std::optional<GuestKernel> kernel_;
  base::Watch kernel_watch_;
  std::unique_ptr<VmmProcess> vmm_;
  base::Watch vmm_watch_;
  std::unique_ptr<agent::Control> agent_;
  base::Timer deadline_;
  base::LogRate notices_;      // a guest can cause them
  std::string vmm_complaint_;  // why msb-vmm said that it gives up
  uint32_t next_stream_ = 1;
  bool running_ = false;
  bool stopping_ = false;
  std::optional<Ended> ended_;
};

}  // namespace msb::sandbox
