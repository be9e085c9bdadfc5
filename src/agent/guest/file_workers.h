// FileWorkers: the processes that touch files for the host (file_servant.h), and who does what.
//
// A request about files never keeps the agent or another request waiting, whatever file system it
// leads to: a process that takes long over a step gets company, and one that takes too long is
// given up (its request fails with kTimeout) and killed; in no mount that is known for it only when
// there are many of these, since the sandbox's own disk may wait for its host's. One that cannot be
// killed, since its file system does not let go of it, is counted: beyond some of them further
// requests that lead to the same mount are refused until they are gone.
//
// Owned by the Server, which reaps and says whom (Reaped). No task's callbacks are called before
// Begin has returned it. One thread.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "src/agent/frame.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/file_servant.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class FileTask;

class FileWorkers {
 public:
  struct Options {
    // With one step, from its last sign of life.
    std::chrono::milliseconds patience{kFilePatience_ms};
    std::function<int()> cgroup;  // where they belong, or -1; asked for each
    ServantLookups lookups;
    // Which mount may not answer who goes there; empty: none but those of the kernel's own.
    std::function<std::string(const std::string& path)> mount_of;
  };
  // Processes that take longer than kQuick over a step do not keep others from being started.
  static constexpr std::chrono::milliseconds kQuick{50};
  static constexpr size_t kMaxQuick = 4;
  static constexpr size_t kMaxIdle = 2;  // kept for the next requests
  // In the middle of a step, or given up. A process is dear: a small guest has 128 in all.
  static constexpr size_t kMaxStuck = 32;        // in no mount that is known for it
  static constexpr size_t kMaxStuckAbroad = 32;  // in all those that are
  static constexpr size_t kMaxStuckInMount = 8;  // in each of them
  static constexpr size_t kMaxWorkers = 96;      // with those whose file is open
  static constexpr size_t kMaxWaiting = 1024;    // requests

  struct Callbacks {
    std::function<void(const Frame&)> on_frame;  // for the host
    // kFinished: it was the last call. The number: how many bytes of data were taken.
    std::function<void(Turn, size_t)> on_turn;
    std::function<void(const Failure&)> on_lost;  // likewise: it comes to no end of its own
  };

  FileWorkers(base::EventLoop& loop, Options options);
  ~FileWorkers();
  FileWorkers(const FileWorkers&) = delete;

  // A request about files, but none for a transfer process; or an Exec, which is only looked up.
  // Destroying the task gives the request up.
  Outcome<std::unique_ptr<FileTask>> Begin(const Request& request, Callbacks callbacks);
  bool Reaped(pid_t pid);  // false: none of ours
  // The workload ends: all requests fail, all processes are killed, none is started.
  void Stop();
  size_t size() const { return workers_.size(); }

 private:
  friend class FileTask;
  struct Worker;

  struct Census;
  Census Count(const std::string& mount) const;
  Outcome<Worker*> Find(const std::string& mount);  // null: not now
  base::Result<Worker*> StartWorker();
  void Assign(Worker& worker, FileTask& task);
  void StartWaiting();
  void FailWaiting(const std::function<std::optional<Failure>(const FileTask&)>& why);
  static void Fail(FileTask& task, const Failure& failure);
  // Longer, so that those who wait for what is stuck learn that it is.
  std::chrono::milliseconds WaitingPatience() const { return options_.patience * 5 / 4; }
  Outcome<void> ArmWaited();
  void OnWaitedTooLong();
  void Tell(Worker& worker, FrameType type, std::string_view payload);
  void OnEvents(Worker& worker);
  void Take(Worker& worker, const Frame& frame);
  void TakeTurn(Worker& worker, Turn turn, size_t taken);
  void TakeEnd(Worker& worker);
  void SetOverdue(Worker& worker);
  void OnTimer(Worker& worker);
  void Rest(Worker& worker);
  void Kill(Worker& worker);
  void Lose(Worker& worker, const Failure& failure);
  void Forget(FileTask& task);

  base::EventLoop& loop_;
  const Options options_;
  std::unordered_map<pid_t, std::unique_ptr<Worker>> workers_;
  std::deque<FileTask*> waiting_;
  bool stopped_ = false;
  std::optional<base::Timer> waited_;  // armed while some wait
};

// One request that is being done. Of a transfer: in steps, each of them asked for.
class FileTask {
 public:
  ~FileTask();
  FileTask(const FileTask&) = delete;

  void Next();  // after kNext
  void Data(std::string_view data);
  void End();

 private:
  friend class FileWorkers;
  FileTask(FileWorkers& workers, const Request& request, FileWorkers::Callbacks callbacks);
  void Tell(FrameType type, std::string_view payload);

  FileWorkers& workers_;
  FileWorkers::Worker* worker_ = nullptr;
  std::string path_;   // for people
  std::string mount_;  // mount_of its paths
  int64_t waits_since_ns_ = 0;
  // Shared: a callback may destroy us.
  const std::shared_ptr<const FileWorkers::Callbacks> callbacks_;
  FrameQueue ahead_;  // what it is told before it has a worker, and how many answers that gives
  size_t ahead_steps_ = 0;
};

}  // namespace msb::agent
