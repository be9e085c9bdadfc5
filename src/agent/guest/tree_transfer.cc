#include "src/agent/guest/tree_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <limits>
#include <utility>

#include "src/agent/guest/file_access.h"
#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/image/byte_source.h"
#include "src/image/tar_stream.h"
#include "src/image/tree_extract.h"
#include "src/image/tree_pack.h"

namespace msb::agent {
namespace {

base::Status SendReply(TransferChannel& channel, const Reply& reply) {
  return channel.Send(FrameType::kReply, 0, base::json::Write(reply));
}

base::Status SendEvent(TransferChannel& channel, const Event& event) {
  return channel.Send(FrameType::kEvent, 0, base::json::Write(event));
}

Outcome<FileStatus> DescribeTop(const Pack& request) {
  if (auto checked = CheckPath(request.path); !checked) return std::unexpected(checked.error());
  struct stat status;
  if (::fstatat(AT_FDCWD, request.path.data.c_str(), &status,
                request.follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
    return std::unexpected(FileFailure(base::FailErrno("{}", request.path.data)));
  }
  const bool directory = S_ISDIR(status.st_mode);
  if (directory && !request.recursive) {
    return Refuse(FailureCode::kWrongKind, "{}: is a directory", request.path.data);
  }
  if (!directory && request.name.empty()) {
    return Refuse(FailureCode::kWrongKind, "{}: is no directory", request.path.data);
  }
  return StatusOf(status);
}

class SkippedReport {
 public:
  explicit SkippedReport(TransferChannel& channel) : channel_(channel) {}

  void Add(const std::string& path, const base::Error& why) {
    if (++count_ > kMaxSkippedReported) return;
    Event event;
    event.skipped = Skipped{.path = path, .failure = FileFailure(why)};
    (void)SendEvent(channel_, event);  // a failure is that of the next data, too
  }
  void Finish() {
    if (count_ <= kMaxSkippedReported) return;
    Event event;
    event.skipped = Skipped{.path = {}, .failure = {}, .more = count_ - kMaxSkippedReported};
    (void)SendEvent(channel_, event);
  }

 private:
  TransferChannel& channel_;
  uint64_t count_ = 0;
};

// The data frames of a tar, with credit for more as they are used up.
class FrameSource : public image::ByteSource {
 public:
  explicit FrameSource(TransferChannel& channel) : channel_(channel) {}

  base::Result<std::string_view> Next() override {
    if (ended_) return std::string_view();
    if (credit_ <= kCreditWindow / 2) {
      TRY(Connected(channel_.SendCredit(static_cast<uint32_t>(kCreditWindow - credit_))));
      credit_ = kCreditWindow;
    }
    const Frame frame = TRY(Connected(channel_.Receive()));
    if (frame.type == FrameType::kEnd && frame.stream == kStdin) {
      ended_ = true;
      return std::string_view();
    }
    if (frame.type != FrameType::kData || frame.stream != kStdin ||
        frame.payload.size() > credit_) {
      connected_ = false;
      return base::Fail(base::ErrorCode::kProtocol, "not the data of a tar");
    }
    credit_ -= frame.payload.size();
    consumed_ += frame.payload.size();
    return frame.payload;
  }
  uint64_t consumed() const override { return consumed_; }
  bool connected() const { return connected_; }  // false: there is nobody to tell

 private:
  template <typename T>
  base::Result<T> Connected(base::Result<T> result) {
    connected_ = connected_ && result.has_value();
    return result;
  }

  TransferChannel& channel_;
  size_t credit_ = kInitialCredit;
  uint64_t consumed_ = 0;
  bool ended_ = false;
  bool connected_ = true;
};

base::Result<Unpacked> Extract(const Unpack& request, FrameSource& source) {
  const base::UniqueFd root = TRY(base::OpenFile(request.path.data, O_PATH | O_DIRECTORY));
  image::TarStream stream(source, std::numeric_limits<uint64_t>::max());
  image::TreeExtractor extractor(
      root.get(), {.hostile = false, .mode_mask = 07777, .keep_owners = request.keep_owners});
  TRY(extractor.Run(stream));
  if (source.consumed() == 0) return base::Fail(base::ErrorCode::kInvalid, "no tar: it is empty");
  const image::ExtractCounts& counts = extractor.counts();
  return Unpacked{.entries = counts.entries, .bytes = counts.bytes, .skipped = counts.skipped};
}

}  // namespace

void PackTree(const Pack& request, uint32_t seq, TransferChannel& channel) {
  auto top = DescribeTop(request);
  if (!top) return RefuseTransfer(top.error(), seq, channel);
  Reply reply;
  reply.seq = seq;
  reply.file = *top;
  if (!SendReply(channel, reply)) return;

  SkippedReport skipped(channel);
  image::TreePacker packer(
      [&](std::string_view data) { return channel.SendData(data); },
      [&](const std::string& path, const base::Error& why) { skipped.Add(path, why); });
  const base::Status packed = packer.Pack(
      request.path.data,
      {.name = request.name.data, .follow = request.follow, .recursive = request.recursive});
  if (!packed) {
    Event event;
    event.broken = FileFailure(base::Error(packed.error()).WithContext(request.path.data));
    (void)SendEvent(channel, event);
    return;
  }
  skipped.Finish();
  (void)channel.Send(FrameType::kEnd, kStdout, {});
}

void UnpackTree(const Unpack& request, uint32_t seq, TransferChannel& channel) {
  if (auto checked = CheckPath(request.path); !checked) {
    return RefuseTransfer(checked.error(), seq, channel);
  }
  FrameSource source(channel);
  auto unpacked = Extract(request, source);
  if (!source.connected()) return;
  if (!unpacked) {
    const base::Error& error = unpacked.error();
    return RefuseTransfer(FileFailure(error), seq, channel);
  }
  Reply reply;
  reply.seq = seq;
  reply.unpacked = *unpacked;
  (void)SendReply(channel, reply);
}

void RefuseTransfer(const Failure& failure, uint32_t seq, TransferChannel& channel) {
  Reply reply;
  reply.seq = seq;
  reply.failure = failure;
  (void)SendReply(channel, reply);
}

}  // namespace msb::agent
