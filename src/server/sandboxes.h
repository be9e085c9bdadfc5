// Sandboxes: all sandboxes of the server: started, found, stopped, removed.
//
// The truth is on the host, not here: a sandbox runs when its run lock is held (src/sandbox), and
// what it is made of is in Storage. This keeps the conversations with those that are in use, and is
// as good after a kill -9 as before. Starts are in sandboxes_start.cc. Owned by the server; one
// thread. Names were checked.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/sandbox/launch.h"
#include "src/server/async.h"
#include "src/server/auth/caller.h"
#include "src/server/host_paths.h"
#include "src/server/instance.h"
#include "src/server/inventory.h"
#include "src/server/key_limits.h"
#include "src/server/lock.h"
#include "src/server/loop.h"
#include "src/server/storage.h"

namespace msb::server {

class Sandboxes {
 public:
  // `home`: of microsandbox, where images are. `directory`: of Storage.
  static base::Result<std::unique_ptr<Sandboxes>> Open(Loop& loop, std::string home,
                                                       const std::string& directory);
  Sandboxes(const Sandboxes&) = delete;

  // What is taken for less than was asked for, in lines for people.
  using Warnings = std::vector<std::string>;
  // Goes on to its end even if the caller goes. Nothing to do if it runs and is what is wanted.
  Async<base::Result<Warnings>> Start(SandboxKey key, std::optional<api::Config> given, bool reset,
                                      Caller caller);
  // kNotFound says whether it does not exist or does not run.
  Async<base::Result<Instance::Use>> Find(SandboxKey key, Cancellation& cancellation);
  // True: it ran. kNotFound if there is none.
  Async<base::Result<bool>> Stop(SandboxKey key, std::chrono::milliseconds grace);
  // With its disk; kNotFound if there is none.
  Async<base::Status> Remove(SandboxKey key);

  // In the order of their names. `name_space`: "*" for all.
  Async<base::Result<std::vector<Listed>>> List(std::string name_space,
                                                Measuring measuring = Measuring::kNo);

  const std::shared_ptr<const Storage>& storage() const { return storage_; }
  // Of this host, for errors that clients see: those from here have none.
  const HostPaths& host_paths() const { return host_paths_; }
  // Of one that runs, if this server has spoken with it.
  std::shared_ptr<Instance> Known(const SandboxKey& key) const;
  // Of any that was measured.
  api::SandboxMetrics MetricsOf(const Listed& listed);

 private:
  struct Entry {
    explicit Entry(boost::asio::any_io_executor executor) : lock(std::move(executor)) {}
    Lock lock;  // held while it is started, stopped or removed
    std::shared_ptr<Instance> instance;
  };
  // CPU time at the last look, for a percentage.
  struct CpuLook {
    int64_t at_ns = 0;  // CLOCK_MONOTONIC
    uint64_t cpu_us = 0;
    double percent = 0;
  };

  Sandboxes(Loop& loop, std::string home, Storage storage, HostPaths host_paths)
      : loop_(loop),
        home_(std::move(home)),
        host_paths_(std::move(host_paths)),
        storage_(std::make_shared<const Storage>(std::move(storage))),
        admitting_(loop.executor()),
        measuring_(loop.executor()) {}

  std::shared_ptr<Entry> EntryOf(const SandboxKey& key);
  // An entry that nobody else uses, of a sandbox that does not run.
  void Forget(const SandboxKey& key, const std::shared_ptr<Entry>& entry);
  Async<base::Result<Warnings>> StartLocked(const SandboxKey& key, std::optional<api::Config> given,
                                            bool reset, const Caller& caller, Entry& entry);
  Async<std::string> Difference(api::Config wanted, api::Config is);
  static void Hasten(Entry& entry, std::chrono::milliseconds grace);
  Async<base::Result<bool>> StopLocked(const SandboxKey& key, std::chrono::milliseconds grace,
                                       Entry& entry);
  base::Result<std::shared_ptr<Instance>> Running(const SandboxKey& key, Entry& entry);
  static base::Error NotThere(const SandboxKey& key);
  base::Error NotRunning(const SandboxKey& key) const;
  // Reserves what the start will use, until `starting_` forgets it.
  Async<base::Status> Admit(const SandboxKey& key, const api::Config& config, const Caller& caller);
  Async<base::Status> Launch(const SandboxKey& key, const api::Config& config, bool reset,
                             const Caller& caller, Entry& entry);
  // Stops it again if its user or directory cannot be: else each of its programs would fail.
  Async<base::Status> CheckStarted(Entry& entry);
  double Percent(const sandbox::State& state, uint64_t cpu_us);
  Async<void> Sweep();

  Loop& loop_;
  const std::string home_;
  const HostPaths host_paths_;
  const std::shared_ptr<const Storage> storage_;  // also of what other threads do
  std::map<SandboxKey, std::shared_ptr<Entry>> entries_;
  std::map<SandboxKey, Reservation> starting_;
  Lock admitting_;                        // held from what is in use to what is reserved
  Lock measuring_;                        // however many ask, one thread is enough
  std::map<std::string, CpuLook> looks_;  // by id
  Cancellation never_;
};

}  // namespace msb::server
