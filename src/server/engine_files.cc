// The engine's part about files. Raw up- and downloads of any size: raw_files.cc.
#include "src/agent/client/file_transfer.h"
#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/server/engine.h"
#include "src/server/file_info.h"
#include "src/server/file_stream.h"
#include "src/server/process_plan.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr uint64_t kMaxContent = 8 * 1024 * 1024;  // of files in one message
constexpr size_t kMaxEntries = 100'000;

base::Result<std::string> ContentOf(const api::FileWriteParams& params) {
  if (params.text.has_value() == params.base64.has_value()) {
    return Fail(ErrorCode::kInvalid, "exactly one of text and base64 must be given");
  }
  if (params.text) return *params.text;
  auto data = base::Base64Decode(*params.base64);
  if (!data) return Fail(ErrorCode::kInvalid, "base64: it is not valid base64");
  return *std::move(data);
}

}  // namespace

std::string Engine::UserOf(const Instance& instance, const std::optional<std::string>& user) {
  return user.value_or(instance.state().defaults.user.data);
}

Async<base::Result<api::FileInfo>> Engine::InfoOf(Instance& instance, std::string path,
                                                  std::string user) {
  CO_TRY(const agent::FileStatus status,
         co_await instance.guest().Stat({.path = path, .user = user, .follow = false}));
  std::optional<std::string> target;
  if (status.kind == agent::FileKind::kSymlink) {
    CO_TRY(target, co_await instance.guest().ReadSymlink({.path = path, .user = user}));
  }
  co_return FileInfoOf(path, status, target);
}

Service::Reply<api::FileContent> Engine::ReadFile(Call call, api::FileParams params) {
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  agent::ReadFile read;
  read.path = params.path;
  read.user = UserOf(*use, params.user);
  read.length = kMaxContent + 1;
  FileReading reading(use->guest());
  CO_TRY(reading.Open(read));
  std::string content;
  for (;;) {
    auto piece = co_await reading.Next(call.cancellation);
    if (!piece) co_return co_await use->Explain(call.cancellation, piece.error());
    if (piece->empty()) break;
    if (!call.caller.MayHold(piece->size())) {
      co_return Fail(ErrorCode::kLimit,
                     "this key has too many answers at once that were not read: try again");
    }
    content += *piece;
  }
  if (content.size() > kMaxContent) {
    co_return Fail(ErrorCode::kInvalid,
                   "path: {} is longer than {} MiB: get it as GET "
                   "/api/v1/files?namespace=…&sandbox=…&path=…",
                   base::EscapeForTerminal(params.path), kMaxContent >> 20);
  }
  api::FileContent result;
  result.path = std::move(params.path);
  result.size = content.size();
  if (base::IsValidUtf8(content)) {
    result.text = std::move(content);
  } else {
    result.base64 = base::Base64Encode(content);
  }
  co_return result;
}

Service::Reply<api::FileInfo> Engine::WriteFile(Call call, api::FileWriteParams params) {
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(std::string content, ContentOf(params));
  CO_TRY(const uint32_t mode, ParseMode("mode", params.mode, 0644));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const std::string user = UserOf(*use, params.user);
  if (params.parents) CO_TRY(co_await MakeParents(*use, params.path, user));
  agent::WriteFile write;
  write.path = params.path;
  write.user = user;
  write.mode = mode;
  const auto written =
      co_await use->guest().WriteFile(std::move(write), std::move(content), call.cancellation);
  if (!written) co_return co_await use->Explain(call.cancellation, written.error());
  co_return FileInfoOf(params.path, *written, {});
}

Async<base::Status> Engine::MakeParents(Instance& instance, std::string path, std::string user) {
  const std::string parent = path.substr(0, path.find_last_of('/'));
  if (parent.empty()) co_return base::Status();
  co_return co_await instance.guest().MakeDirectory(
      {.path = parent, .user = user, .mode = 0755, .parents = true});
}

Service::Reply<api::FileInfo> Engine::StatFile(Call call, api::FileParams params) {
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const auto info = co_await InfoOf(*use, params.path, UserOf(*use, params.user));
  if (!info) co_return co_await use->Explain(call.cancellation, info.error());
  co_return *info;
}

Service::Reply<api::FileList> Engine::ListFiles(Call call, api::FileListParams params) {
  CO_TRY(CheckPath("path", params.path));
  if (params.depth == 0 || params.depth > agent::kMaxListDepth) {
    co_return Fail(ErrorCode::kInvalid, "depth: {} is not from 1 to {}", params.depth,
                   agent::kMaxListDepth);
  }
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  agent::ListDirectory list;
  list.path = params.path;
  list.user = UserOf(*use, params.user);
  list.depth = params.depth;
  auto listed = co_await ListGuestDirectory(use->guest(), list, kMaxEntries, call);
  if (!listed) co_return co_await use->Explain(call.cancellation, listed.error());
  co_return *std::move(listed);
}

Service::Reply<api::FileInfo> Engine::MakeDirectory(Call call, api::FileMkdirParams params) {
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(const uint32_t mode, ParseMode("mode", params.mode, 0755));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const std::string user = UserOf(*use, params.user);
  const base::Status made = co_await use->guest().MakeDirectory(
      {.path = params.path, .user = user, .mode = mode, .parents = params.parents});
  if (!made) co_return co_await use->Explain(call.cancellation, made.error());
  co_return co_await InfoOf(*use, params.path, user);
}

Service::Reply<api::FileInfo> Engine::MoveFile(Call call, api::FileMoveParams params) {
  CO_TRY(CheckPath("from", params.from));
  CO_TRY(CheckPath("to", params.to));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const std::string user = UserOf(*use, params.user);
  const base::Status moved = co_await use->guest().Rename(
      {.from = params.from, .to = params.to, .user = user, .replace = params.replace});
  if (!moved) co_return co_await use->Explain(call.cancellation, moved.error());
  co_return co_await InfoOf(*use, params.to, user);
}

Service::Reply<api::Empty> Engine::RemoveFile(Call call, api::FileRemoveParams params) {
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(const auto use, co_await Use(call, params.namespace_, params.sandbox));
  const base::Status removed = co_await use->guest().Remove(
      {.path = params.path, .user = UserOf(*use, params.user), .recursive = params.recursive});
  if (!removed) co_return co_await use->Explain(call.cancellation, removed.error());
  co_return api::Empty{};
}

// --- files of any size ---------------------------------------------------------------------------

base::Status Engine::OpenedFile::Begin(uint64_t offset, std::optional<uint64_t> length) {
  request.offset = offset;
  request.length = length;
  reading = std::make_unique<FileReading>(use->guest());
  return reading->Open(request);
}

Async<base::Result<Engine::OpenedFile>> Engine::OpenFile(Call call, api::FileParams params) {
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(auto use, co_await Use(call, params.namespace_, params.sandbox));
  const std::string user = UserOf(*use, params.user);
  const auto status =
      co_await use->guest().Stat({.path = params.path, .user = user, .follow = true});
  if (!status) co_return co_await use->Explain(call.cancellation, status.error());
  if (status->kind == agent::FileKind::kDirectory) {
    co_return Fail(ErrorCode::kInvalid, "path: {} is a directory (sandbox.files.list)",
                   base::EscapeForTerminal(params.path));
  }
  co_return OpenedFile{
      .use = std::move(use), .request = {.path = params.path, .user = user}, .status = *status};
}

Async<base::Result<Engine::NewFile>> Engine::CreateFile(Call call, api::FileWriteParams params) {
  CO_TRY(CheckPath("path", params.path));
  CO_TRY(const uint32_t mode, ParseMode("mode", params.mode, 0644));
  CO_TRY(auto use, co_await Use(call, params.namespace_, params.sandbox));
  const std::string user = UserOf(*use, params.user);
  if (params.parents) CO_TRY(co_await MakeParents(*use, params.path, user));
  const auto there =
      co_await use->guest().Stat({.path = params.path, .user = user, .follow = false});
  if (!there && there.error().code() != ErrorCode::kNotFound) {
    co_return co_await use->Explain(call.cancellation, there.error());
  }
  agent::WriteFile write;
  write.path = there ? params.path : fmt::format("{}.{}.part", params.path, base::RandomHex(4));
  write.user = user;
  write.mode = mode;
  NewFile file{.use = std::move(use),
               .path = params.path,
               .user = user,
               .written_as = write.path.data,
               .writing = {}};
  file.writing = std::make_unique<FileWriting>(file.use->guest());
  CO_TRY(file.writing->Open(write));
  co_return file;
}

Async<base::Result<api::FileInfo>> Engine::FinishFile(NewFile file, Call call) {
  const auto status = co_await file.writing->Finish(call.cancellation);
  if (!status) {
    const base::Error error = co_await file.use->Explain(call.cancellation, status.error());
    co_await AbandonFile(std::move(file));
    co_return error;
  }
  if (file.written_as != file.path) {
    const base::Status renamed = co_await file.use->guest().Rename(
        {.from = file.written_as, .to = file.path, .user = file.user, .replace = true});
    if (!renamed) {
      co_await AbandonFile(std::move(file));
      co_return renamed.error();
    }
  }
  co_return FileInfoOf(file.path, *status, {});
}

Async<void> Engine::AbandonFile(NewFile file) {
  file.writing.reset();
  if (file.written_as == file.path) co_return;
  // If that cannot be done the sandbox has gone, or the directory.
  (void)co_await file.use->guest().Remove({.path = file.written_as, .user = file.user});
}

}  // namespace msb::server
