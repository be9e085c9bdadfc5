#include "src/agent/client/file_transfer.h"

#include <algorithm>
#include <utility>

#include "src/agent/client/connection.h"
#include "src/agent/client/relative_path.h"

namespace msb::agent {

class FileTransfer::Impl : public Connection {
 public:
  enum class Kind { kRead, kWrite, kList, kPack, kUnpack };
  Impl(base::EventLoop& loop, Kind kind, Callbacks callbacks, uint32_t depth = 0)
      : Connection(loop), kind_(kind), depth_(depth), callbacks_(std::move(callbacks)) {
    if (Sends()) credit_ = kInitialCredit;
  }

  bool complete() const { return callbacks_.on_done && callbacks_.on_failed; }
  void Ask(Request request) { seq_ = SendRequest(std::move(request)); }
  size_t Writable() const { return closed() ? 0 : credit_; }
  size_t Put(std::string_view data);
  void Finish();

 protected:
  base::Status OnReply(const Reply& reply) override;
  base::Status OnEvent(const Event& event) override;
  base::Status OnData(unsigned stream, std::string_view data) override;
  base::Status OnEnd(unsigned stream) override;
  base::Status OnCredit(unsigned stream, uint32_t bytes) override;
  void OnFailed(const Failure& failure) override { callbacks_.on_failed(failure); }

 private:
  bool Sends() const { return kind_ == Kind::kWrite || kind_ == Kind::kUnpack; }
  base::Status OnEntries(const std::vector<DirectoryEntry>& entries);
  base::Status OnFinished(const Reply& reply);  // of kWrite, kUnpack
  void Done(const FileStatus& status);
  void GiveUp(const Failure& failure);

  const Kind kind_;
  const uint32_t depth_;  // kList
  Callbacks callbacks_;
  uint32_t seq_ = 0;
  size_t credit_ = 0;
  bool wants_credit_ = false;
  bool finished_ = false;             // Finish was called
  std::optional<FileStatus> opened_;  // kRead, kPack: the reply has come
};

size_t FileTransfer::Impl::Put(std::string_view data) {
  if (finished_ || !Sends()) return 0;
  const size_t length = std::min(data.size(), Writable());
  SendData(kStdin, data.substr(0, length));
  credit_ -= length;
  if (credit_ == 0) wants_credit_ = true;
  return length;
}

void FileTransfer::Impl::Finish() {
  if (Sends() && !std::exchange(finished_, true)) SendEnd(kStdin);
}

void FileTransfer::Impl::Done(const FileStatus& status) {
  Close();
  callbacks_.on_done(status);
}

void FileTransfer::Impl::GiveUp(const Failure& failure) {
  Close();
  callbacks_.on_failed(failure);
}

base::Status FileTransfer::Impl::OnReply(const Reply& reply) {
  if (reply.seq != seq_ || opened_) {
    return Violation("an answer to no request of ours");
  }
  if (reply.failure) {
    GiveUp(*reply.failure);
    return {};
  }
  if (kind_ == Kind::kList) {
    Done({});
    return {};
  }
  if (Sends()) return OnFinished(reply);
  if (!reply.file) return Violation("an answer without its content");
  opened_ = *reply.file;
  if (callbacks_.on_opened) callbacks_.on_opened(*opened_);
  return {};
}

base::Status FileTransfer::Impl::OnFinished(const Reply& reply) {
  const bool unpacks = kind_ == Kind::kUnpack;
  if (unpacks ? !reply.unpacked : !reply.file) return Violation("an answer without its content");
  if (!finished_) return Violation("a transfer complete before its end");
  if (!unpacks) {
    Done(*reply.file);
    return {};
  }
  if (callbacks_.on_unpacked) callbacks_.on_unpacked(*reply.unpacked);
  if (!closed()) Done({});
  return {};
}

base::Status FileTransfer::Impl::OnEvent(const Event& event) {
  if (event.broken && opened_) {
    GiveUp(*event.broken);
    return {};
  }
  if (event.skipped && (kind_ == Kind::kList || kind_ == Kind::kPack)) {
    if (callbacks_.on_skipped) callbacks_.on_skipped(*event.skipped);
    return {};
  }
  if (event.entries && kind_ == Kind::kList) return OnEntries(*event.entries);
  return Violation("an event that is none of a transfer");
}

base::Status FileTransfer::Impl::OnEntries(const std::vector<DirectoryEntry>& entries) {
  for (const DirectoryEntry& entry : entries) {
    if (!IsRelativePath(entry.name.data, depth_)) {
      return Violation("a directory entry that is no name");
    }
  }
  if (callbacks_.on_entries) callbacks_.on_entries(entries);
  return {};
}

base::Status FileTransfer::Impl::OnData(unsigned stream, std::string_view data) {
  if (!opened_ || stream != kStdout) return Violation("data on stream {}", stream);
  if (callbacks_.on_data) callbacks_.on_data(data);
  return {};
}

base::Status FileTransfer::Impl::OnEnd(unsigned stream) {
  if (!opened_ || stream != kStdout) {
    return Violation("the end of stream {}", stream);
  }
  Done(*opened_);
  return {};
}

base::Status FileTransfer::Impl::OnCredit(unsigned stream, uint32_t bytes) {
  if (!Sends() || stream != kStdin || bytes == 0 || bytes > kCreditWindow - credit_) {
    return Violation("credit of {} bytes for stream {}", bytes, stream);
  }
  credit_ += bytes;
  if (!finished_ && std::exchange(wants_credit_, false) && callbacks_.on_writable) {
    callbacks_.on_writable();
  }
  return {};
}

FileTransfer::FileTransfer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileTransfer::~FileTransfer() { impl_->Close(); }

base::Result<std::unique_ptr<FileTransfer>> FileTransfer::Begin(base::UniqueFd stream,
                                                                std::shared_ptr<Impl> impl,
                                                                Request request) {
  CHECK(impl->complete());
  TRY(impl->Open(std::move(stream)));
  impl->Ask(std::move(request));
  return std::unique_ptr<FileTransfer>(new FileTransfer(std::move(impl)));
}

base::Result<std::unique_ptr<FileTransfer>> FileTransfer::Read(base::EventLoop& loop,
                                                               base::UniqueFd stream,
                                                               const ReadFile& read,
                                                               Callbacks callbacks) {
  Request request;
  request.read_file = read;
  return Begin(std::move(stream),
               std::make_shared<Impl>(loop, Impl::Kind::kRead, std::move(callbacks)),
               std::move(request));
}

base::Result<std::unique_ptr<FileTransfer>> FileTransfer::Write(base::EventLoop& loop,
                                                                base::UniqueFd stream,
                                                                const WriteFile& write,
                                                                Callbacks callbacks) {
  Request request;
  request.write_file = write;
  return Begin(std::move(stream),
               std::make_shared<Impl>(loop, Impl::Kind::kWrite, std::move(callbacks)),
               std::move(request));
}

base::Result<std::unique_ptr<FileTransfer>> FileTransfer::List(base::EventLoop& loop,
                                                               base::UniqueFd stream,
                                                               const ListDirectory& list,
                                                               Callbacks callbacks) {
  Request request;
  request.list_directory = list;
  return Begin(std::move(stream),
               std::make_shared<Impl>(loop, Impl::Kind::kList, std::move(callbacks), list.depth),
               std::move(request));
}

base::Result<std::unique_ptr<FileTransfer>> FileTransfer::PackTree(base::EventLoop& loop,
                                                                   base::UniqueFd stream,
                                                                   const Pack& pack,
                                                                   Callbacks callbacks) {
  Request request;
  request.pack = pack;
  return Begin(std::move(stream),
               std::make_shared<Impl>(loop, Impl::Kind::kPack, std::move(callbacks)),
               std::move(request));
}

base::Result<std::unique_ptr<FileTransfer>> FileTransfer::UnpackTree(base::EventLoop& loop,
                                                                     base::UniqueFd stream,
                                                                     const Unpack& unpack,
                                                                     Callbacks callbacks) {
  Request request;
  request.unpack = unpack;
  return Begin(std::move(stream),
               std::make_shared<Impl>(loop, Impl::Kind::kUnpack, std::move(callbacks)),
               std::move(request));
}

size_t FileTransfer::Writable() const { return impl_->Writable(); }
size_t FileTransfer::Put(std::string_view data) { return impl_->Put(data); }
void FileTransfer::Finish() { impl_->Finish(); }
void FileTransfer::Pause() { impl_->Pause(); }
void FileTransfer::Resume() { impl_->Resume(); }

}  // namespace msb::agent
