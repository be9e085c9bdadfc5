#include "src/agent/guest/file_workers.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "src/agent/guest/file_request.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;

enum class State {
  kIdle,
  kServing,
  kLeaving,  // was told to end
  kKilled,
};

Failure Killed() {
  return {FailureCode::kSystem,
          "the process that did it was killed: is the sandbox's memory full?"};
}
Failure Stopped() { return {FailureCode::kBusy, "the sandbox is being stopped"}; }

}  // namespace

struct FileWorkers::Worker {
  bool InStep() const { return state == State::kServing && owed > 0; }

  pid_t pid = 0;
  State state = State::kIdle;
  base::UniqueFd socket;
  base::Watch watch;
  base::Timer timer;
  FrameReader reader{kBufferBytes, kMaxPayload};
  FrameQueue queue;
  FileTask* task = nullptr;
  std::string mount;  // its task's; of a killed one the last one's
  size_t owed = 0;    // steps it was told to do, and has not done
  bool overdue = false;
};

FileWorkers::FileWorkers(base::EventLoop& loop, Options options)
    : loop_(loop), options_(std::move(options)) {}

FileWorkers::~FileWorkers() {
  CHECK(waiting_.empty());
  for (const auto& [pid, worker] : workers_) ::kill(pid, SIGKILL);
}

// --- who does what -------------------------------------------------------------------------------

Outcome<std::unique_ptr<FileTask>> FileWorkers::Begin(const Request& request, Callbacks callbacks) {
  const std::string text = base::json::Write(request);
  if (text.size() > kMaxPayload || waiting_.size() >= kMaxWaiting) {
    return Refuse(FailureCode::kLimit, "a request of {} bytes, or more than {} waiting ones",
                  text.size(), kMaxWaiting);
  }
  std::unique_ptr<FileTask> task(new FileTask(*this, request, std::move(callbacks)));
  auto worker = Find(task->mount_);
  if (!worker) return std::unexpected(worker.error());
  task->Tell(FrameType::kRequest, text);
  if (*worker != nullptr) {
    Assign(**worker, *task);
  } else {
    task->waits_since_ns_ = base::MonotonicNanos();
    waiting_.push_back(task.get());
    if (auto armed = ArmWaited(); !armed) return std::unexpected(armed.error());
  }
  return task;
}

// Who is there, seen by a request that leads to a mount.
struct FileWorkers::Census {
  Worker* idle = nullptr;
  size_t quick = 0;     // in a step that has not taken long
  size_t in_mount = 0;  // in a step there, or (in one that is known) given up there
  size_t given_up_in_mount = 0;
  size_t abroad = 0;  // likewise, in any mount that may not answer
};

FileWorkers::Census FileWorkers::Count(const std::string& mount) const {
  Census census;
  for (const auto& [pid, worker] : workers_) {
    if (worker->state == State::kIdle) census.idle = worker.get();
    if (worker->InStep() && !worker->overdue) ++census.quick;
    const bool given_up = worker->state == State::kKilled;
    if (!given_up && !worker->InStep()) continue;
    // Those that the kernel keeps say nothing about what is in no mount that is known.
    if (given_up && worker->mount.empty()) continue;
    if (!worker->mount.empty()) ++census.abroad;
    if (worker->mount != mount) continue;
    ++census.in_mount;
    if (given_up) ++census.given_up_in_mount;
  }
  return census;
}

Outcome<FileWorkers::Worker*> FileWorkers::Find(const std::string& mount) {
  if (stopped_) return std::unexpected(Stopped());
  const Census census = Count(mount);
  if (census.in_mount >= (mount.empty() ? kMaxStuck : kMaxStuckInMount)) {
    if (census.given_up_in_mount < census.in_mount) return nullptr;
    return Refuse(FailureCode::kBusy,
                  "{} requests wait for {}, which does not answer: end the program in the "
                  "sandbox that serves it, or restart the sandbox",
                  census.in_mount, "the file system at " + mount);
  }
  if (!mount.empty() && census.abroad >= kMaxStuckAbroad) return nullptr;
  if (census.idle != nullptr) return census.idle;
  if (census.quick >= kMaxQuick || workers_.size() >= kMaxWorkers) return nullptr;
  auto started = StartWorker();
  if (!started) return Refuse(FailureCode::kSystem, started.error());
  return *started;
}

base::Result<FileWorkers::Worker*> FileWorkers::StartWorker() {
  base::Pair pair = TRY(base::MakeSocketPair(base::SocketType::kStream, /*nonblocking=*/true));
  auto worker = std::make_unique<Worker>();
  Worker* raw = worker.get();
  worker->timer = TRY(loop_.AddTimer([this, raw] { OnTimer(*raw); }));
  worker->watch = TRY(loop_.Add(pair.first.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                [this, raw](uint32_t) { OnEvents(*raw); }));
  const int cgroup = options_.cgroup();
  const pid_t pid = ::fork();
  if (pid < 0) return base::FailErrno("cannot create a process");
  if (pid == 0) RunFileServant(pair.second.get(), cgroup, options_.lookups);
  worker->pid = pid;
  worker->socket = std::move(pair.first);
  workers_.emplace(pid, std::move(worker));
  return raw;
}

void FileWorkers::Assign(Worker& worker, FileTask& task) {
  worker.state = State::kServing;
  worker.task = &task;
  worker.mount = task.mount_;
  task.worker_ = &worker;
  worker.owed = task.ahead_steps_;
  worker.overdue = false;
  worker.timer.Arm(kQuick);
  worker.queue.AppendRaw(task.ahead_.front());
  (void)worker.queue.Flush(worker.socket.get());  // a broken one is noticed when it is read
}

// Those that waited for a worker, as far as there is one; without those for whom none can come.
void FileWorkers::StartWaiting() {
  std::vector<std::pair<FileTask*, Failure>> refused;
  std::erase_if(waiting_, [&](FileTask* task) {
    const auto worker = Find(task->mount_);
    if (worker && *worker == nullptr) return false;
    if (worker) {
      Assign(**worker, *task);
    } else {
      refused.emplace_back(task, worker.error());
    }
    return true;
  });
  for (const auto& [task, failure] : refused) Fail(*task, failure);
}

void FileWorkers::FailWaiting(const std::function<std::optional<Failure>(const FileTask&)>& why) {
  std::vector<std::pair<FileTask*, Failure>> failed;
  std::erase_if(waiting_, [&](FileTask* task) {
    const auto failure = why(*task);
    if (failure) failed.emplace_back(task, *failure);
    return failure.has_value();
  });
  for (const auto& [task, failure] : failed) Fail(*task, failure);
}

// It is destroyed by that.
void FileWorkers::Fail(FileTask& task, const Failure& failure) {
  const auto callbacks = task.callbacks_;
  callbacks->on_lost(failure);
}

Outcome<void> FileWorkers::ArmWaited() {
  if (!waited_) {
    auto timer = loop_.AddTimer([this] { OnWaitedTooLong(); });
    if (!timer) return Refuse(FailureCode::kSystem, timer.error());
    waited_ = *std::move(timer);
  }
  if (!waited_->armed()) waited_->Arm(WaitingPatience());
  return {};
}

void FileWorkers::OnWaitedTooLong() {
  const int64_t now = base::MonotonicNanos();
  const int64_t patience_ns = std::chrono::nanoseconds(WaitingPatience()).count();
  FailWaiting([&](const FileTask& task) -> std::optional<Failure> {
    if (now - task.waits_since_ns_ < patience_ns) return std::nullopt;
    return Failure{FailureCode::kBusy,
                   fmt::format("{}: {} files are being read, written or watched, or their file "
                               "systems do not answer: nobody was free for {} s",
                               task.path_, workers_.size(), WaitingPatience().count() / 1000)};
  });
  if (waiting_.empty()) return;
  waited_->Arm(std::chrono::nanoseconds(waiting_.front()->waits_since_ns_ + patience_ns - now));
}

void FileWorkers::Tell(Worker& worker, FrameType type, std::string_view payload) {
  if (type == FrameType::kCredit) {
    worker.queue.AppendCredit(0, 0);
  } else {
    worker.queue.Append(type, 0, payload);
  }
  if (worker.owed++ == 0) {
    worker.overdue = false;
    worker.timer.Arm(kQuick);
  }
  (void)worker.queue.Flush(worker.socket.get());
}

void FileWorkers::Rest(Worker& worker) {
  const auto idle = std::ranges::count_if(
      workers_, [](const auto& entry) { return entry.second->state == State::kIdle; });
  worker.owed = 0;
  worker.timer.Disarm();
  worker.state = State::kIdle;
  if (static_cast<size_t>(idle) < kMaxIdle) return;
  worker.state = State::kLeaving;
  worker.watch.Reset();
  worker.socket.Reset();
}

// --- what they say -------------------------------------------------------------------------------

void FileWorkers::OnEvents(Worker& worker) {
  (void)worker.queue.Flush(worker.socket.get());
  while (worker.socket) {
    const std::span<char> space = worker.reader.Space();
    const ssize_t got = ::recv(worker.socket.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      return Lose(worker, Killed());
    }
    worker.reader.Filled(static_cast<size_t>(got));
    while (worker.socket) {
      const auto frame = worker.reader.Next();
      if (!frame) return Lose(worker, {FailureCode::kSystem, frame.error().message()});
      if (!*frame) break;
      Take(worker, **frame);
    }
  }
}

void FileWorkers::Take(Worker& worker, const Frame& frame) {
  if (worker.task == nullptr) return;
  if (frame.type == FrameType::kCredit) {
    return TakeTurn(worker, static_cast<Turn>(frame.stream), frame.credit);
  }
  const auto callbacks = worker.task->callbacks_;
  callbacks->on_frame(frame);
}

void FileWorkers::TakeTurn(Worker& worker, Turn turn, size_t taken) {
  if (turn == Turn::kBusy) return SetOverdue(worker);
  if (turn == Turn::kFinished) return TakeEnd(worker);
  const auto callbacks = worker.task->callbacks_;
  worker.overdue = false;
  if (worker.owed > 0 && --worker.owed > 0) worker.timer.Arm(kQuick);
  if (worker.owed == 0) worker.timer.Disarm();
  callbacks->on_turn(turn, taken);
  StartWaiting();
}

void FileWorkers::TakeEnd(Worker& worker) {
  FileTask& task = *std::exchange(worker.task, nullptr);
  task.worker_ = nullptr;
  Rest(worker);
  const auto callbacks = task.callbacks_;
  callbacks->on_turn(Turn::kFinished, 0);
  StartWaiting();
}

// It takes long: others need not wait for it, and it is given up if this was its last sign of life.
void FileWorkers::SetOverdue(Worker& worker) {
  const bool first = !std::exchange(worker.overdue, true);
  worker.timer.Arm(options_.patience);
  if (first) StartWaiting();
}

void FileWorkers::OnTimer(Worker& worker) {
  if (worker.owed == 0 || worker.task == nullptr) return;
  if (!worker.overdue) return SetOverdue(worker);
  // The disk of the sandbox waits for as long as its host's is full. It is what most of these wait
  // for, but for one behind a link it may be anything: they make room for others once there is
  // none.
  if (worker.mount.empty() && Count(worker.mount).in_mount < kMaxStuck) {
    return worker.timer.Arm(options_.patience);
  }
  const auto silent = [this](const FileTask& task) {
    return Failure{FailureCode::kTimeout,
                   fmt::format("{}: its file system has not answered for {} s", task.path_,
                               options_.patience.count() / 1000)};
  };
  Lose(worker, silent(*worker.task));
  if (Count(worker.mount).given_up_in_mount >= kMaxStuckInMount) {
    // Nobody is left to wait with: those that waited for the same would learn the same.
    FailWaiting([&](const FileTask& task) -> std::optional<Failure> {
      if (task.mount_ != worker.mount) return std::nullopt;
      return silent(task);
    });
  }
  StartWaiting();  // it makes room even if the kernel keeps it
}

// --- the end -------------------------------------------------------------------------------------

// Gone once it is reaped.
void FileWorkers::Kill(Worker& worker) {
  if (worker.pid > 0) ::kill(worker.pid, SIGKILL);
  worker.state = State::kKilled;
  worker.timer.Disarm();
  worker.watch.Reset();
  worker.socket.Reset();
}

void FileWorkers::Lose(Worker& worker, const Failure& failure) {
  Kill(worker);
  FileTask* task = std::exchange(worker.task, nullptr);
  if (task == nullptr) return;
  task->worker_ = nullptr;
  Fail(*task, failure);
}

bool FileWorkers::Reaped(pid_t pid) {
  const auto found = workers_.find(pid);
  if (found == workers_.end()) return false;
  // The number may be another's from here on, also that of one which is started now.
  const std::unique_ptr<Worker> worker = std::move(found->second);
  workers_.erase(found);
  worker->pid = 0;
  OnEvents(*worker);        // its last words
  Lose(*worker, Killed());  // should somebody else hold its socket open
  StartWaiting();
  return true;
}

void FileWorkers::Stop() {
  stopped_ = true;
  FailWaiting([](const FileTask&) { return Stopped(); });
  for (const auto& [pid, worker] : workers_) Lose(*worker, Stopped());
}

void FileWorkers::Forget(FileTask& task) {
  std::erase(waiting_, &task);
  if (task.worker_ == nullptr) return;
  task.worker_->task = nullptr;
  Kill(*task.worker_);
}

// --- tasks ---------------------------------------------------------------------------------------

FileTask::FileTask(FileWorkers& workers, const Request& request, FileWorkers::Callbacks callbacks)
    : workers_(workers),
      callbacks_(std::make_shared<const FileWorkers::Callbacks>(std::move(callbacks))) {
  for (const std::string& path : PathsOf(request)) {
    path_ += (path_.empty() ? "" : ", ") + path;
    if (mount_.empty()) mount_ = workers.options_.mount_of(path);
  }
}

FileTask::~FileTask() { workers_.Forget(*this); }

void FileTask::Next() { Tell(FrameType::kCredit, {}); }
void FileTask::Data(std::string_view data) { Tell(FrameType::kData, data); }
void FileTask::End() { Tell(FrameType::kEnd, {}); }

void FileTask::Tell(FrameType type, std::string_view payload) {
  if (worker_ != nullptr) return workers_.Tell(*worker_, type, payload);
  ahead_.Append(type, 0, payload);  // credit is never ahead: it answers a turn
  ++ahead_steps_;
}

}  // namespace msb::agent
