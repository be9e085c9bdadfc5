#include "src/agent/guest/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "src/agent/guest/attached.h"
#include "src/base/sys.h"

namespace msb::agent {

Outcome<std::unique_ptr<Process>> Process::Create(base::EventLoop& loop, const Exec& exec,
                                                  const Surroundings& surroundings,
                                                  const ExecLookup* lookup) {
  auto planned = PlanExec(exec, surroundings, lookup);
  if (!planned) return std::unexpected(planned.error());
  std::unique_ptr<Process> process(
      new Process(loop, exec, *std::move(planned), surroundings.null_fd));
  if (exec.pty) process->size_ = *exec.pty;
  // The rings exist from the beginning, so that a created process can be attached to.
  const size_t outputs = 1 + (exec.pty ? 0 : 1) + exec.extra_streams;
  for (size_t i = 0; i < outputs; ++i) {
    const bool extra = i >= outputs - exec.extra_streams;
    const unsigned stream =
        extra ? static_cast<unsigned>(kFirstExtra + i - (outputs - exec.extra_streams))
              : static_cast<unsigned>(kStdout + i);
    std::optional<unsigned> input;
    if (extra) input = stream;
    if (!extra && exec.pty) input = kStdin;
    process->AddChannel(input, stream);
  }
  if (!exec.pty && exec.stdin_mode == StdinMode::kStream) process->AddChannel(kStdin, std::nullopt);
  return process;
}

Process::~Process() {
  if (running()) Abandon();
}

void Process::AddChannel(std::optional<unsigned> input, std::optional<unsigned> output) {
  auto channel = std::make_unique<Channel>();
  channel->input = input;
  channel->output = output;
  channel->credit = input && exec_.hold_input ? kInitialCredit : 0;
  if (output) {
    channel->ring = std::make_unique<OutputRing>(kRingBytes);
    ++open_outputs_;
  }
  channels_.push_back(std::move(channel));
}

base::Status Process::WatchChannels() {
  for (const auto& owned : channels_) {
    Channel& channel = *owned;
    if (!channel.output) continue;  // stdin is watched once it is full
    const uint32_t events = EPOLLIN | EPOLLET | (channel.input ? uint32_t{EPOLLOUT} : 0u);
    channel.watch = TRY(loop_.Add(channel.fd.get(), events,
                                  [this, &channel](uint32_t got) { OnEvents(channel, got); }));
  }
  return {};
}

void Process::OnEvents(Channel& channel, uint32_t events) {
  if ((events & EPOLLOUT) != 0 && channel.input) WriteInput(channel);
  if (channel.output && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    channel.readable = true;
    channel.hung_up = channel.hung_up || (events & EPOLLHUP) != 0;
    Read(channel);
  }
}

// --- output --------------------------------------------------------------------------------------

OutputRing* Process::Ring(unsigned stream) {
  for (const auto& channel : channels_) {
    if (channel->output == stream) return channel->ring.get();
  }
  return nullptr;
}

bool Process::Ended(unsigned stream) const {
  for (const auto& channel : channels_) {
    if (channel->output == stream) return channel->ended;
  }
  return true;
}

// The oldest byte that reading on must not overwrite.
uint64_t Process::KeepFrom(const Channel& channel) const {
  if (exec_.output == OutputPolicy::kDropOldest) return channel.ring->end();
  if (attached_.empty()) return channel.ring->begin();
  uint64_t oldest = channel.ring->end();
  for (const Attached* attached : attached_) {
    oldest = std::min(oldest, attached->Position(*channel.output));
  }
  // What was sent may have been on its way when its reader went; whoever comes back asks for it.
  if (exec_.unattached == WhenUnattached::kKeep) oldest -= std::min<uint64_t>(oldest, kResendBytes);
  return oldest;
}

void Process::Read(Channel& channel) {
  // Whoever is woken reads on: an end is said once, or the two wake each other for ever.
  if (channel.ended) return;
  const uint64_t before = channel.ring->end();
  while (channel.readable && !channel.ended && ReadOnce(channel)) {
  }
  if (channel.ring->end() != before || channel.ended) Wake();
}

bool Process::ReadOnce(Channel& channel) {
  constexpr size_t kAtOnce = 256 * 1024;
  const size_t wanted = std::min(kAtOnce, channel.left.value_or(kAtOnce));
  if (wanted == 0) {
    EndOutput(channel);
    return false;
  }
  if (exec_.output == OutputPolicy::kDropOldest) SaveFrames(channel, wanted);
  const std::span<char> room = channel.ring->Room(KeepFrom(channel), wanted);
  if (room.empty()) return false;  // full: ReadOn continues
  const ssize_t got = ::read(channel.fd.get(), room.data(), room.size());
  if (got < 0 && errno == EINTR) return true;
  if (got < 0 && errno == EAGAIN) {
    channel.readable = false;
    if (exited_) EndOutput(channel);
    return false;
  }
  if (got <= 0) {
    if (exec_.pty && *channel.output == kStdout && !exited_) {
      // Nobody has the terminal open now; the program may open it again. Closing our side would
      // hang up on a program that has closed its streams and is about to exit.
      channel.readable = channel.hung_up = false;
      return false;
    }
    EndOutput(channel);
    return false;
  }
  const auto bytes = static_cast<size_t>(got);
  channel.ring->Commit(bytes);
  if (channel.left) *channel.left -= bytes;
  if (bytes >= 64 * 1024 && !std::exchange(channel.enlarged, true)) {
    // It writes much: fewer turns. Refused beyond a user's limit, and then it stays as it is.
    ::fcntl(channel.fd.get(), F_SETPIPE_SZ, static_cast<int>(kRingBytes));
  }
  // Less than there was room for is all there was; with a hang-up the end has no event of its own.
  if (bytes < room.size() && !channel.hung_up && !exited_) channel.readable = false;
  return true;
}

void Process::SaveFrames(const Channel& channel, size_t room) {
  const OutputRing& ring = *channel.ring;
  if (ring.end() - ring.begin() + room <= kRingBytes) return;
  const uint64_t doomed = ring.end() + room - kRingBytes;
  for (Attached* attached : attached_) attached->SaveFrame(*channel.output, doomed);
}

void Process::EndOutput(Channel& channel) {
  if (std::exchange(channel.ended, true)) return;
  --open_outputs_;
  channel.watch.Reset();
  if (channel.input) channel.input_closed = true;
  channel.pending.clear();
  channel.pending_at = 0;
  channel.fd.Reset();
}

void Process::ReadOn() {
  for (const auto& owned : channels_) {
    Channel& channel = *owned;
    if (!channel.output) continue;
    // Nobody can come back to what a process that dies with its last attachment has said.
    const bool forgets = exec_.unattached == WhenUnattached::kKill && !attached_.empty() &&
                         exec_.output == OutputPolicy::kBlock;
    if (forgets) channel.ring->Forget(KeepFrom(channel));
    Read(channel);
  }
}

void Process::Wake() {
  for (Attached* attached : attached_) attached->Wake();
}

void Process::Attach(Attached* attached, bool input) {
  attached_.push_back(attached);
  if (input) input_holder_ = attached;
}

void Process::Detach(Attached* attached) {
  std::erase(attached_, attached);
  if (input_holder_ == attached) {
    input_holder_ = nullptr;
    // What was granted to it and has not come will not come.
    for (const auto& channel : channels_) channel->credit = 0;
  }
  // It may have been the slowest: there is room now, and no event that says so.
  if (!attached_.empty()) ReadOn();
}

// --- input ---------------------------------------------------------------------------------------

Process::Channel* Process::FindInput(unsigned stream) {
  for (const auto& channel : channels_) {
    if (channel->input == stream) return channel.get();
  }
  return nullptr;
}

base::Status Process::Input(unsigned stream, std::string_view data) {
  Channel* channel = FindInput(stream);
  if (channel == nullptr || channel->input_ending) {
    return base::Fail(base::ErrorCode::kProtocol, "data on stream {}", stream);
  }
  if (data.size() > channel->credit) {
    return base::Fail(base::ErrorCode::kProtocol, "data on stream {} without credit", stream);
  }
  channel->credit -= data.size();
  if (!channel->input_closed) {
    size_t written = 0;
    if (started_ && channel->pending.empty()) {
      const ssize_t put = ::write(channel->fd.get(), data.data(), data.size());
      if (put > 0) written = static_cast<size_t>(put);
      if (written == data.size()) {
        Grant(*channel);
        return {};
      }
    }
    channel->pending.append(data.substr(written));
    if (started_) WriteInput(*channel);
  }
  Grant(*channel);
  return {};
}

base::Status Process::EndInput(unsigned stream) {
  Channel* channel = FindInput(stream);
  if (channel == nullptr) return {};  // whoever re-attaches cannot know
  channel->input_ending = true;
  if (started_) WriteInput(*channel);
  return {};
}

void Process::WriteInput(Channel& channel) {
  while (!channel.input_closed && channel.pending_at < channel.pending.size()) {
    const std::string_view rest = std::string_view(channel.pending).substr(channel.pending_at);
    const ssize_t put = ::write(channel.fd.get(), rest.data(), rest.size());
    if (put >= 0) {
      channel.pending_at += static_cast<size_t>(put);
      if (channel.pending_at >= kCreditWindow / 4) {
        channel.pending.erase(0, channel.pending_at);
        channel.pending_at = 0;
      }
    } else if (errno == EAGAIN) {
      if (!channel.watch.active()) {
        auto watch = loop_.Add(channel.fd.get(), EPOLLOUT | EPOLLET,
                               [this, &channel](uint32_t) { WriteInput(channel); });
        if (!watch) return CloseInput(channel);
        channel.watch = *std::move(watch);
      }
      Grant(channel);
      return;
    } else if (errno != EINTR) {
      return CloseInput(channel);  // the program takes no more
    }
  }
  channel.pending.clear();
  channel.pending_at = 0;
  if (channel.input_ending && !channel.input_closed) return CloseInput(channel);
  Grant(channel);
}

// After this, data is thrown away as it comes, so that the host's sender is never stuck.
void Process::CloseInput(Channel& channel) {
  channel.input_closed = true;
  channel.pending.clear();
  channel.pending_at = 0;
  if (!channel.output) {
    channel.watch.Reset();
    channel.fd.Reset();
  } else if (*channel.output >= kFirstExtra) {
    ::shutdown(channel.fd.get(), SHUT_WR);
  } else {
    constexpr char kEndOfFile = 4;  // a terminal has no end of file but the character
    (void)!::write(channel.fd.get(), &kEndOfFile, 1);
  }
  Grant(channel);
}

void Process::Grant(Channel& channel) {
  const size_t waiting = channel.pending.size() - channel.pending_at;
  const size_t free = kCreditWindow - std::min(kCreditWindow, waiting + channel.credit);
  if (input_holder_ == nullptr || channel.input_ending || free < kCreditWindow / 4) return;
  channel.credit += free;
  input_holder_->Grant(*channel.input, static_cast<uint32_t>(free));
}

void Process::GrantAll() {
  for (const auto& channel : channels_) {
    if (channel->input) Grant(*channel);
  }
}

// --- control -------------------------------------------------------------------------------------

Outcome<void> Process::Signal(int signal, bool group) {
  if (signal < 1 || signal > SIGRTMAX) {
    return Refuse(FailureCode::kInvalid, "signal.signal: {} is no signal", signal);
  }
  if (!running()) return Refuse(FailureCode::kNoSuchProcess, "the process does not run");
  pid_t target = group && !spawn_ ? -pid_ : pid_;  // it may not lead its group yet
  if (pid_t foreground = 0; group && exec_.pty &&
                            ::ioctl(channels_.front()->fd.get(), TIOCGPGRP, &foreground) == 0 &&
                            foreground > 0) {
    target = -foreground;
  }
  if (::kill(target, signal) < 0) {
    return Refuse(FailureCode::kSystem, base::FailErrno("cannot signal"));
  }
  return {};
}

Outcome<void> Process::Resize(WindowSize size) {
  if (!exec_.pty) return Refuse(FailureCode::kInvalid, "the process has no terminal");
  size_ = size;
  const winsize window = {size.rows, size.columns, 0, 0};
  if (channels_.front()->fd && ::ioctl(channels_.front()->fd.get(), TIOCSWINSZ, &window) < 0) {
    return Refuse(FailureCode::kSystem, base::FailErrno("cannot resize"));
  }
  return {};
}

void Process::Abandon() {
  if (!std::exchange(abandoned_, true) && running()) {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
  }
  for (const auto& channel : channels_) {
    if (channel->output) EndOutput(*channel);
    if (!channel->output && channel->input && !channel->input_closed) CloseInput(*channel);
  }
}

void Process::Exit(const Exited& exited) {
  pid_ = 0;
  exited_ = exited;
  for (const auto& owned : channels_) {
    Channel& channel = *owned;
    if (!channel.output) {
      if (!channel.input_closed) CloseInput(channel);
      continue;
    }
    if (channel.ended) continue;
    // Its output is what is in the pipe now. What a background child that has the pipe too writes
    // later is not its output, and must not keep its exit waiting.
    int bytes = 0;
    channel.left = kRingBytes;
    if (!exec_.pty && ::ioctl(channel.fd.get(), FIONREAD, &bytes) == 0 && bytes >= 0) {
      channel.left = static_cast<size_t>(bytes);
    }
    channel.readable = true;
    Read(channel);
  }
  Wake();
}

}  // namespace msb::agent
