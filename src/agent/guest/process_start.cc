// How a process gets its streams and its program.
#include <fcntl.h>
#include <sys/ioctl.h>

#include <utility>

#include "src/agent/guest/process.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

FailureCode ProgramFailure(const base::Error& error) {
  switch (error.sys_errno()) {
    case ENOENT:
    case ENOTDIR:
      return FailureCode::kProgramMissing;
    case EAGAIN:
    case ENOMEM:
    case E2BIG:
    case EMFILE:
    case ENFILE:
      return FailureCode::kSystem;
    default:
      return FailureCode::kNotExecutable;
  }
}

}  // namespace

Outcome<void> Process::Start(std::optional<std::chrono::milliseconds> patience, Done done) {
  start_asked_ = true;
  if (auto begun = BeginSpawn(patience); !begun) {
    spawn_watch_.Reset();
    spawn_.reset();
    return begun;
  }
  done_ = std::move(done);
  return {};
}

Outcome<void> Process::BeginSpawn(std::optional<std::chrono::milliseconds> patience) {
  const auto refused = [](const base::Error& error) { return Refuse(FailureCode::kSystem, error); };
  std::vector<base::UniqueFd> theirs;
  if (base::Status opened = Open(theirs); !opened) return refused(opened.error());
  ExecPlan plan = std::exchange(plan_, {});
  for (const base::UniqueFd& fd : theirs) plan.spawn.fds.push_back(fd.get());
  auto spawn = Spawn::Create(std::move(plan.spawn));
  if (!spawn) return refused(spawn.error());
  spawn_ = *std::move(spawn);
  auto watch = loop_.Add(spawn_->fd(), 0, [this](uint32_t) { OnSpawned(); });
  if (!watch) return refused(watch.error());
  spawn_watch_ = *std::move(watch);
  if (patience) {
    auto timer = loop_.AddTimer([this, patience] { GiveUp(*patience); });
    if (!timer) return refused(timer.error());
    patience_ = *std::move(timer);
  }
  const auto pid = spawn_->Begin();
  if (!pid) return refused(pid.error());
  pid_ = *pid;
  if (patience) patience_.Arm(*patience);
  return {};
}

void Process::OnSpawned() {
  base::Status result = spawn_->Result();
  spawn_watch_.Reset();
  spawn_.reset();
  patience_.Disarm();
  const Done done = std::exchange(done_, nullptr);
  if (!done) return;  // given up
  if (!result) {
    pid_ = 0;
    return done(Refuse(ProgramFailure(result.error()), result.error()));
  }
  started_ = true;
  if (abandoned_) return done({});
  if (base::Status watched = WatchChannels(); !watched) {
    Abandon();
    return done(Refuse(FailureCode::kSystem, watched.error()));
  }
  // What arrived before the start.
  for (const auto& channel : channels_) {
    if (channel->input) WriteInput(*channel);
  }
  done({});
}

// Its process stays until the kernel lets go of it.
void Process::GiveUp(std::chrono::milliseconds patience) {
  Abandon();
  std::exchange(done_, nullptr)(
      Refuse(FailureCode::kTimeout,
             "{}: its file, or that of its interpreter, has not been opened for {} s",
             exec_.argv[0].data, patience.count() / 1000));
}

void Process::ProcessEnded() {
  if (!spawn_) return;
  spawn_->Reaped();
  OnSpawned();
}

// Our ends go into the channels, in the order of `channels_`; the program's, by number, to
// `theirs`.
base::Status Process::Open(std::vector<base::UniqueFd>& theirs) {
  if (exec_.pty) {
    TRY(OpenTerminal(theirs));
  } else {
    TRY(OpenPipes(theirs));
  }
  for (const auto& channel : channels_) {
    if (!channel->output || *channel->output < kFirstExtra) continue;
    base::Pair pair = TRY(base::MakeSocketPair(base::SocketType::kStream));
    TRY(base::SetNonBlocking(pair.first.get(), true));
    channel->fd = std::move(pair.first);
    theirs.push_back(std::move(pair.second));
  }
  return {};
}

base::Status Process::OpenPipes(std::vector<base::UniqueFd>& theirs) {
  theirs.resize(3);
  for (const auto& channel : channels_) {
    const bool is_input = !channel->output;
    if (!is_input && *channel->output >= kFirstExtra) continue;
    base::Pair pipe = TRY(base::MakePipe());
    base::UniqueFd& ours = is_input ? pipe.second : pipe.first;
    TRY(base::SetNonBlocking(ours.get(), true));
    channel->fd = std::move(ours);
    theirs[is_input ? kStdin : *channel->output] = std::move(is_input ? pipe.first : pipe.second);
  }
  if (!theirs[kStdin]) theirs[kStdin] = TRY(base::Duplicate(null_fd_));
  return {};
}

base::Status Process::OpenTerminal(std::vector<base::UniqueFd>& theirs) {
  constexpr unsigned long kOpenPeer = 0x5441;  // TIOCGPTPEER
  base::UniqueFd master = TRY(base::OpenFile("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK));
  const int unlock = 0;
  if (::ioctl(master.get(), TIOCSPTLCK, &unlock) < 0) return base::FailErrno("cannot unlock a pty");
  // By descriptor: /dev/pts is the workload's to change.
  base::UniqueFd slave(::ioctl(master.get(), kOpenPeer, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return base::FailErrno("cannot open a terminal");
  const winsize size = {size_.rows, size_.columns, 0, 0};
  ::ioctl(master.get(), TIOCSWINSZ, &size);
  if (plan_.spawn.identity.uid != 0) {
    // So that the user can open /dev/tty's name again; the group stays the terminals' own.
    if (::fchown(slave.get(), plan_.spawn.identity.uid, static_cast<gid_t>(-1)) < 0) {
      return base::FailErrno("cannot give away a terminal");
    }
  }
  for (int i = 0; i < 2; ++i) theirs.push_back(TRY(base::Duplicate(slave.get())));
  theirs.push_back(std::move(slave));
  channels_.front()->fd = std::move(master);
  return {};
}

}  // namespace msb::agent
