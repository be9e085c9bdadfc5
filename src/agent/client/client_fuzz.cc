// Any bytes from a guest, to each kind of connection (the first byte chooses): no crash, no hang,
// exactly one end, and no data beyond what was sent.
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "src/agent/client/attachment.h"
#include "src/agent/client/control.h"
#include "src/agent/client/file_transfer.h"
#include "src/base/sys.h"

namespace {

using namespace msb;
using namespace msb::agent;

constexpr uint32_t kListDepth = 2;

struct Ends {
  int count = 0;
  size_t data = 0;
};

struct Peer {
  std::unique_ptr<Attachment> attachment;
  std::unique_ptr<Control> control;
  std::unique_ptr<FileTransfer> transfer;
};

Attachment::Callbacks ForProcess(Ends& ends) {
  const auto count = [&ends](std::string_view data) { ends.data += data.size(); };
  return {.on_started = [](const Started&) {},
          .on_stdout = count,
          .on_stderr = count,
          .on_extra = [count](unsigned, std::string_view data) { count(data); },
          .on_end = [](unsigned) {},
          .on_dropped = [](unsigned, uint64_t) {},
          .on_writable = [](unsigned) {},
          .on_exit = [&ends](const Exited& exited) { ends.count += exited.ShellCode() >= 0; },
          .on_failed = [&ends](const Failure&) { ++ends.count; }};
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

Peer Begin(uint8_t kind, base::EventLoop& loop, base::UniqueFd stream, Ends& ends) {
  Peer peer;
  switch (kind % 8) {
    case 0:
      peer.attachment =
          Attachment::Execute(loop, std::move(stream),
                              {.argv = {"x"}, .stdin_mode = StdinMode::kStream, .extra_streams = 2},
                              ForProcess(ends))
              .value();
      peer.attachment->WriteStdin("input");
      peer.attachment->Signal(2);
      break;
    case 1:
      peer.attachment =
          Attachment::Reattach(loop, std::move(stream), {.input = true}, ForProcess(ends)).value();
      break;
    case 2:
      peer.control = Control::Create(loop, std::move(stream), [&ends](const Failure&) {
                       ++ends.count;
                     }).value();
      peer.control->SendPing([](Answer<void>) {});
      peer.control->SendConfigure({}, [](Answer<Configured>) {});
      peer.control->SendWait({}, [](Answer<Exited>) {});
      peer.control->SendListProcesses([](Answer<Processes>) {});
      peer.control->SendStatFile({}, [](Answer<FileStatus>) {});
      peer.control->SendRemove({}, [](Answer<void>) {});
      peer.control->SendReadSymlink({}, [](Answer<base::Bytes>) {});
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
  }
  return peer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto loop = base::EventLoop::Create().value();
  base::Pair pair = base::MakeSocketPair(base::SocketType::kStream, true).value();
  Ends ends;
  const Peer peer = Begin(data[0], *loop, std::move(pair.first), ends);
  const size_t total = size;
  for (++data, --size; size > 0;) {
    const ssize_t put =
        ::send(pair.second.get(), data, std::min<size_t>(size, 16384), MSG_NOSIGNAL);
    if (put <= 0) break;  // it has hung up
    data += put;
    size -= static_cast<size_t>(put);
    while (loop->RunOnce(0).value()) {
    }
  }
  pair.second.Reset();
  while (loop->RunOnce(0).value()) {
  }
  CHECK(ends.count == 1 && ends.data <= total);
  return 0;
}
