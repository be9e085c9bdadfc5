// What each request about files does: see the comments of src/agent/protocol.h.
#include <utility>

#include "src/agent/guest/file_changes.h"
#include "src/agent/guest/listing.h"
#include "src/agent/guest/server.h"
#include "src/agent/guest/session.h"
#include "src/agent/guest/tree_transfer.h"

namespace msb::agent {
namespace {

Outcome<Reply> ReplyOf(Outcome<void> outcome) {
  if (!outcome) return std::unexpected(outcome.error());
  return Reply();
}

// Whose rights a request about files asks for.
const base::Bytes& UserIn(const Request& request) {
  if (request.read_file) return request.read_file->user;
  if (request.write_file) return request.write_file->user;
  if (request.stat_file) return request.stat_file->user;
  if (request.list_directory) return request.list_directory->user;
  if (request.make_directory) return request.make_directory->user;
  if (request.remove) return request.remove->user;
  if (request.rename) return request.rename->user;
  if (request.change_mode) return request.change_mode->user;
  if (request.make_symlink) return request.make_symlink->user;
  if (request.read_symlink) return request.read_symlink->user;
  if (request.pack) return request.pack->user;
  if (request.unpack) return request.unpack->user;
  return request.watch_files->user;
}

}  // namespace

bool Session::IsAboutFiles(const Request& request) {
  return request.read_file || request.write_file || request.stat_file || request.list_directory ||
         request.make_directory || request.remove || request.rename || request.change_mode ||
         request.make_symlink || request.read_symlink || request.pack || request.unpack ||
         request.watch_files;
}

Outcome<std::optional<Reply>> Session::ServeFile(const Request& request) {
  const bool transfers = request.read_file || request.write_file || request.list_directory ||
                         request.pack || request.unpack || request.watch_files;
  if (transfers && used()) return RefuseInUse();
  const base::Bytes& name = UserIn(request);
  Identity user;
  if (!name.empty()) {
    auto identity = server_.ResolveUser(name.data);
    if (!identity) return Refuse(FailureCode::kNoSuchUser, identity.error());
    user = *std::move(identity);
  }
  auto later = [](Outcome<void> begun) -> Outcome<std::optional<Reply>> {
    if (!begun) return std::unexpected(begun.error());
    return std::nullopt;
  };
  if (request.write_file) return later(BeginWriteFile(*request.write_file, user, request.seq));
  if (request.list_directory) return later(BeginList(*request.list_directory, user, request.seq));
  if (request.remove) return later(BeginRemove(*request.remove, user, request.seq));
  if (request.watch_files) {
    auto begun = BeginWatch(*request.watch_files, user);
    if (!begun) return std::unexpected(begun.error());
    return *std::move(begun);
  }
  if (request.pack || request.unpack) return later(HandOver(request, user));
  auto reply =
      request.read_file ? ServeReadFile(*request.read_file, user) : ServeFileNow(request, user);
  if (!reply) return std::unexpected(reply.error());
  return *std::move(reply);
}

Outcome<Reply> Session::ServeFileNow(const Request& request, const Identity& user) {
  if (request.make_directory) return ReplyOf(MakeDirectoryAs(*request.make_directory, user));
  if (request.rename) return ReplyOf(RenameAs(*request.rename, user));
  if (request.change_mode) return ReplyOf(ChangeModeAs(*request.change_mode, user));
  if (request.make_symlink) return ReplyOf(MakeSymlinkAs(*request.make_symlink, user));
  Reply reply;
  if (request.read_symlink) {
    auto target = ReadSymlinkAs(*request.read_symlink, user);
    if (!target) return std::unexpected(target.error());
    reply.target = *std::move(target);
    return reply;
  }
  auto status = DescribeFile(*request.stat_file, user);
  if (!status) return std::unexpected(status.error());
  reply.file = *status;
  return reply;
}

Outcome<Reply> Session::ServeReadFile(const ReadFile& request, const Identity& user) {
  auto opened = OpenForReading(request, user);
  if (!opened) return std::unexpected(opened.error());
  transfer_ = std::move(opened->transfer);
  Reply reply;
  reply.file = opened->status;
  return reply;
}

// Answered when all is written.
Outcome<void> Session::BeginWriteFile(const WriteFile& request, const Identity& user,
                                      uint32_t seq) {
  auto receiver = FileReceiver::Create(request, user);
  if (!receiver) return std::unexpected(receiver.error());
  receiver_ = *std::move(receiver);
  receiver_credit_ = kInitialCredit;
  receiver_seq_ = seq;
  return {};
}

Outcome<void> Session::BeginList(const ListDirectory& request, const Identity& user, uint32_t seq) {
  auto listing = OpenListing(request, user, seq);
  if (!listing) return std::unexpected(listing.error());
  transfer_ = *std::move(listing);
  Wake();
  return {};
}

Outcome<void> Session::BeginRemove(const Remove& request, const Identity& user, uint32_t seq) {
  auto removal = BeginRemoval(request, user, seq);
  if (!removal) return std::unexpected(removal.error());
  removal_ = *std::move(removal);
  Wake();
  return {};
}

Outcome<Reply> Session::BeginWatch(const WatchFiles& request, const Identity& user) {
  auto begun = FileWatch::Begin(server_.loop(), request, user, [this] { Wake(); });
  if (!begun) return std::unexpected(begun.error());
  file_watch_ = std::move(begun->watch);
  Reply reply;
  reply.file = begun->status;
  return reply;
}

// The connection is the child's from here on.
Outcome<void> Session::HandOver(const Request& request, const Identity& user) {
  auto started = server_.StartTransfer(
      {.socket_fd = socket_.get(),
       .queue = queue_,
       .reader = reader_,
       .identity = user,
       .cgroup_fd = -1},
      [&](TransferChannel& channel) {
        if (request.pack) {
          PackTree(*request.pack, request.seq, channel);
        } else {
          UnpackTree(*request.unpack, request.seq, channel);
        }
      },
      [&](TransferChannel& channel, const base::Error& why) {
        RefuseTransfer(FileFailure(why), request.seq, channel);
      });
  if (!started) return started;
  Close();
  return {};
}

}  // namespace msb::agent
