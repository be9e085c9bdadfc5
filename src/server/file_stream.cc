#include "src/server/file_stream.h"

#include "src/server/file_info.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kMaxListBytes = 8 * 1024 * 1024;

base::Error Gone() { return Fail(ErrorCode::kClosed, "the client has gone"); }
base::Error Silent() { return Fail(ErrorCode::kTimeout, "the sandbox's agent does not answer"); }

std::string Join(const std::string& directory, const std::string& name) {
  return directory.ends_with('/') ? directory + name : directory + "/" + name;
}

}  // namespace

// --- reading -------------------------------------------------------------------------------------

base::Status FileReading::Open(const agent::ReadFile& read) {
  agent::FileTransfer::Callbacks callbacks;
  callbacks.on_opened = [this](const agent::FileStatus& status) {
    status_ = status;
    changed_.Set();
  };
  callbacks.on_data = [this](std::string_view data) {
    if (pieces_.Push(std::string(data), data.size())) transfer_->Pause();
    changed_.Set();
  };
  callbacks.on_done = [this](const agent::FileStatus&) {
    done_ = true;
    changed_.Set();
  };
  callbacks.on_failed = [this](const agent::Failure& failure) {
    failed_ = ErrorOf(failure);
    changed_.Set();
  };
  transfer_ = TRY(agent::FileTransfer::Read(guest_.loop().events(), TRY(guest_.NewStream()), read,
                                            std::move(callbacks)));
  return {};
}

Async<base::Result<agent::FileStatus>> FileReading::Status(Cancellation& cancellation) {
  const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
  while (!status_) {
    changed_.Clear();
    if (failed_) co_return *failed_;
    if (cancellation.cancelled()) co_return Gone();
    co_await changed_.Wait();
  }
  co_return *status_;
}

Async<base::Result<std::string>> FileReading::Next(Cancellation& cancellation) {
  const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
  for (;;) {
    changed_.Clear();
    if (cancellation.cancelled()) co_return Gone();
    if (!pieces_.empty()) {
      std::string piece = pieces_.Pop();
      if (pieces_.HasRoomAgain()) transfer_->Resume();
      co_return piece;
    }
    if (failed_) co_return *failed_;
    if (done_) co_return std::string();
    co_await changed_.Wait();
  }
}

// --- writing -------------------------------------------------------------------------------------

base::Status FileWriting::Open(const agent::WriteFile& write) {
  agent::FileTransfer::Callbacks callbacks;
  callbacks.on_writable = [this] { changed_.Set(); };
  callbacks.on_done = [this](const agent::FileStatus& status) {
    result_ = status;
    changed_.Set();
  };
  callbacks.on_failed = [this](const agent::Failure& failure) {
    result_ = ErrorOf(failure);
    changed_.Set();
  };
  transfer_ = TRY(agent::FileTransfer::Write(guest_.loop().events(), TRY(guest_.NewStream()), write,
                                             std::move(callbacks)));
  return {};
}

Async<base::Status> FileWriting::Put(std::string_view data, Cancellation& cancellation) {
  const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
  for (;;) {
    changed_.Clear();
    if (cancellation.cancelled()) co_return Gone();
    if (result_ && !*result_) co_return result_->error();
    data.remove_prefix(transfer_->Put(data));
    if (data.empty()) co_return base::Status();
    // A guest can wait for ever for something of its own, such as a file system that does not
    // answer.
    if (!co_await changed_.Wait(Clock::now() + Guest::kPatience)) co_return Silent();
  }
}

Async<base::Result<agent::FileStatus>> FileWriting::Finish(Cancellation& cancellation) {
  const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
  if (!result_) transfer_->Finish();
  while (!result_) {
    changed_.Clear();
    if (cancellation.cancelled()) co_return Gone();
    if (!co_await changed_.Wait(Clock::now() + Guest::kPatience)) co_return Silent();
  }
  co_return *result_;
}

// --- listing -------------------------------------------------------------------------------------

Async<base::Result<api::FileList>> ListGuestDirectory(Guest& guest, agent::ListDirectory list,
                                                      size_t most, const Call& call) {
  Cancellation& cancellation = call.cancellation;
  struct State {
    explicit State(boost::asio::any_io_executor executor) : changed(std::move(executor)) {}
    Event changed;
    api::FileList files;
    size_t bytes = 0;  // of names and targets
    bool done = false;
    std::optional<base::Error> failed;
  };
  State state(guest.loop().executor());
  agent::FileTransfer::Callbacks callbacks;
  callbacks.on_entries = [&](std::span<const agent::DirectoryEntry> entries) {
    for (const agent::DirectoryEntry& entry : entries) {
      const size_t names =
          list.path.data.size() + entry.name.data.size() + entry.target.data.size();
      state.bytes += names;
      state.files.truncated = state.files.entries.size() >= most || state.bytes > kMaxListBytes ||
                              !call.caller.MayHold(names + sizeof(api::FileInfo));
      if (state.files.truncated) break;
      const bool link = entry.status.kind == agent::FileKind::kSymlink;
      state.files.entries.push_back(
          FileInfoOf(Join(list.path.data, entry.name.data), entry.status,
                     link ? std::optional(entry.target.data) : std::nullopt));
    }
    if (state.files.truncated) state.changed.Set();
  };
  callbacks.on_done = [&](const agent::FileStatus&) {
    state.done = true;
    state.changed.Set();
  };
  callbacks.on_failed = [&](const agent::Failure& failure) {
    state.failed = ErrorOf(failure);
    state.changed.Set();
  };
  CO_TRY(base::UniqueFd stream, guest.NewStream());
  CO_TRY(const auto transfer, agent::FileTransfer::List(guest.loop().events(), std::move(stream),
                                                        list, std::move(callbacks)));
  const Cancellation::Watch watch(cancellation, [&] { state.changed.Set(); });
  while (!state.done && !state.failed && !state.files.truncated) {
    state.changed.Clear();
    if (cancellation.cancelled()) co_return Gone();
    co_await state.changed.Wait();
  }
  if (state.failed) co_return *state.failed;
  co_return std::move(state.files);
}

}  // namespace msb::server
