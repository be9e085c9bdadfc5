// Any bytes from a guest, to each kind of connection (the first byte's lower half chooses): no
// crash, no hang, exactly one end with nothing after it, calls in their order, each question
// answered once, and no data beyond what was sent. The upper half: what the host does meanwhile.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "src/agent/client/attachment.h"
#include "src/agent/client/control.h"
#include "src/agent/client/directory_watch.h"
#include "src/agent/client/file_transfer.h"
#include "src/base/sys.h"

namespace {

using namespace msb;
using namespace msb::agent;

constexpr uint32_t kListDepth = 2;
constexpr uint8_t kPauses = 0x10;       // at each piece of output, until the loop is at rest
constexpr uint8_t kLetsGo = 0x20;       // destroys the attachment in a callback
constexpr uint8_t kTerminal = 0x40;     // asks for a pty
constexpr uint8_t kStartsLater = 0x80;  // asks for a process that is not started

struct Ends {
  int count = 0;
  size_t data = 0;
  int questions = 0;  // of a control stream
  int answers = 0;
};

struct Peer {
  std::unique_ptr<Attachment> attachment;
  std::unique_ptr<Control> control;
  std::unique_ptr<FileTransfer> transfer;
  std::unique_ptr<DirectoryWatch> watch;
};

// A host that keeps book of what it is told about a process, and in which order.
class Host {
 public:
  Host(Peer& peer, Ends& ends, uint8_t does) : peer_(peer), ends_(ends), does_(does) {}

  Attachment::Callbacks Callbacks() {
    return {.on_started = [this](const Started& started) { OnStarted(started); },
            .on_stdout = [this](std::string_view data) { OnData(kStdout, data); },
            .on_stderr = [this](std::string_view data) { OnData(kStderr, data); },
            .on_extra =
                [this](unsigned stream, std::string_view data) {
                  CHECK(stream >= kFirstExtra);
                  OnData(stream, data);
                },
            .on_end =
                [this](unsigned stream) {
                  CheckRunning(stream);
                  ended_[stream] = true;
                },
            .on_dropped = [this](unsigned stream, uint64_t) { CheckRunning(stream); },
            .on_writable =
                [this](unsigned stream) {
                  CHECK(ends_.count == 0 && peer_.attachment->Writable(stream) > 0);
                  peer_.attachment->Write(stream, std::string(kCreditWindow, 'x'));
                  CHECK(peer_.attachment->Writable(stream) == 0);
                },
            .on_exit =
                [this](const Exited& exited) {
                  CHECK(started_ && !paused_ && exited.ShellCode() >= 0);
                  End();
                },
            .on_failed = [this](const Failure&) { End(); }};
  }

  Exec Request() const {
    Exec exec;
    exec.argv = {"x"};
    exec.stdin_mode = StdinMode::kStream;
    exec.extra_streams = 2;
    exec.start = (does_ & kStartsLater) == 0;
    if ((does_ & kTerminal) != 0) exec.pty.emplace();
    return exec;
  }
  void Resume() {
    paused_ = false;
    if (peer_.attachment) peer_.attachment->ResumeOutput();
  }

 private:
  void OnStarted(const Started& started) {
    CHECK(!std::exchange(started_, true) && ends_.count == 0);
    CHECK(started.extra_streams <= kMaxExtraStreams);
    if ((does_ & kStartsLater) != 0) peer_.attachment->Start();
    peer_.attachment->Resize({});
  }
  void OnData(unsigned stream, std::string_view data) {
    CheckRunning(stream);
    CHECK(!data.empty());
    ends_.data += data.size();
    if ((does_ & kLetsGo) != 0) {
      ++ends_.count;  // we are told nothing more
      return peer_.attachment.reset();
    }
    if ((does_ & kPauses) == 0) return;
    paused_ = true;
    peer_.attachment->PauseOutput();
  }
  void CheckRunning(unsigned stream) {
    CHECK(started_ && !paused_ && ends_.count == 0 && stream < kMaxStreams && !ended_[stream]);
  }
  void End() {
    CHECK(ends_.count == 0);
    ++ends_.count;
  }

  Peer& peer_;
  Ends& ends_;
  const uint8_t does_;
  bool started_ = false;
  bool paused_ = false;
  std::array<bool, kMaxStreams> ended_ = {};
};

template <typename T>
OnAnswer<T> Ask(Ends& ends) {
  ++ends.questions;
  return [&ends](const Answer<T>&) {
    CHECK(ends.count == 0);
    ++ends.answers;
  };
}

FileTransfer::Callbacks ForFile(Ends& ends) {
  return {.on_opened = [](const FileStatus&) {},
          .on_data = [&ends](std::string_view data) { ends.data += data.size(); },
          .on_entries =
              [](std::span<const DirectoryEntry> entries) {
                for (const auto& entry : entries) {
                  const std::string path = "/" + entry.name.data + "/";
                  CHECK(path.find("//") == std::string::npos);
                  CHECK(path.find("/../") == std::string::npos);
                  CHECK(std::ranges::count(path, '/') <= 1 + kListDepth);
                }
              },
          .on_skipped = [](const Skipped&) {},
          .on_writable = [] {},
          .on_unpacked = [](const Unpacked&) {},
          .on_done = [&ends](const FileStatus&) { ++ends.count; },
          .on_failed = [&ends](const Failure&) { ++ends.count; }};
}

DirectoryWatch::Callbacks ForWatch(Ends& ends) {
  return {.on_watching = [&ends](const FileStatus&) { CHECK(ends.count == 0); },
          .on_changes =
              [&ends](std::span<const FileChange> changes) {
                CHECK(ends.count == 0);
                for (const auto& change : changes) {
                  const std::string path = "/" + change.name.data + "/";
                  CHECK(change.name.data.empty() || path.find("//") == std::string::npos);
                  CHECK(path.find("/../") == std::string::npos);
                }
              },
          .on_failed = [&ends](const Failure&) { ++ends.count; }};
}

void Begin(uint8_t kind, base::EventLoop& loop, base::UniqueFd stream, Ends& ends, Peer& peer,
           Host& host) {
  switch (kind % 9) {
    case 0:
      peer.attachment =
          Attachment::Execute(loop, std::move(stream), host.Request(), host.Callbacks()).value();
      peer.attachment->WriteStdin("input");
      peer.attachment->Signal(2);
      break;
    case 1:
      peer.attachment =
          Attachment::Reattach(loop, std::move(stream), {.input = true}, host.Callbacks()).value();
      break;
    case 2:
      peer.control = Control::Create(loop, std::move(stream), [&ends](const Failure&) {
                       ++ends.count;
                     }).value();
      peer.control->SendPing(Ask<void>(ends));
      peer.control->SendConfigure({}, Ask<Configured>(ends));
      peer.control->SendWait({}, Ask<Exited>(ends));
      peer.control->SendListProcesses(Ask<Processes>(ends));
      peer.control->SendStatFile({}, Ask<FileStatus>(ends));
      peer.control->SendSignal({}, Ask<void>(ends));
      peer.control->SendShutdown({}, Ask<void>(ends));
      peer.control->SendRemove({}, Ask<void>(ends));
      peer.control->SendReadSymlink({}, Ask<base::Bytes>(ends));
      break;
    case 3:
      peer.transfer = FileTransfer::Read(loop, std::move(stream), {}, ForFile(ends)).value();
      break;
    case 4:
      peer.transfer = FileTransfer::Write(loop, std::move(stream), {}, ForFile(ends)).value();
      peer.transfer->Put("data");
      peer.transfer->Finish();
      break;
    case 5:
      peer.transfer =
          FileTransfer::List(loop, std::move(stream), {.depth = kListDepth}, ForFile(ends)).value();
      break;
    case 6:
      peer.transfer = FileTransfer::PackTree(loop, std::move(stream), {}, ForFile(ends)).value();
      break;
    case 7:
      peer.transfer = FileTransfer::UnpackTree(loop, std::move(stream), {}, ForFile(ends)).value();
      peer.transfer->Put("data");
      peer.transfer->Finish();
      break;
    case 8:
      peer.watch =
          DirectoryWatch::Begin(loop, std::move(stream), {.recursive = true}, ForWatch(ends))
              .value();
      break;
  }
}

void Settle(base::EventLoop& loop, Host& host) {
  do {
    while (loop.RunOnce(0).value()) {
    }
    host.Resume();
  } while (loop.RunOnce(0).value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto loop = base::EventLoop::Create().value();
  base::Pair pair = base::MakeSocketPair(base::SocketType::kStream, true).value();
  Ends ends;
  Peer peer;
  Host host(peer, ends, data[0] & 0xf0);
  Begin(data[0] & 0x0f, *loop, std::move(pair.first), ends, peer, host);
  const size_t total = size;
  for (++data, --size; size > 0;) {
    const ssize_t put =
        ::send(pair.second.get(), data, std::min<size_t>(size, 16384), MSG_NOSIGNAL);
    if (put <= 0) break;  // it has hung up
    data += put;
    size -= static_cast<size_t>(put);
    Settle(*loop, host);
  }
  pair.second.Reset();
  Settle(*loop, host);
  CHECK(ends.count == 1 && ends.data <= total && ends.answers == ends.questions);
  return 0;
}
