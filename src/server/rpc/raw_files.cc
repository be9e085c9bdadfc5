#include "src/server/rpc/raw_files.h"

#include <algorithm>
#include <charconv>

#include "src/base/json.h"
#include "src/server/errors.h"
#include "src/server/http/response_head.h"

namespace msb::server::rpc {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kPiece = 64 * 1024;

Async<void> RespondError(http::Exchange& exchange, ApiError error) {
  co_await exchange.Respond({.status = error.status,
                             .content_type = "application/json",
                             .body = BodyOf(error),
                             .headers = {}});
}

api::FileParams ParamsOf(const http::Request& request, const Caller& caller) {
  api::FileParams params;
  params.sandbox = request.Query("sandbox").value_or("");
  params.namespace_ = request.Query("namespace").value_or(caller.OwnNamespace());
  params.path = request.Query("path").value_or("");
  params.user = request.Query("user");
  return params;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || stop != text.data() + text.size()) return {};
  return number;
}

}  // namespace

base::Result<std::optional<ByteRange>> ParseRange(std::string_view header, uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  const std::optional<ByteRange> whole;
  if (!header.starts_with(kUnit) || header.contains(',')) return whole;
  header.remove_prefix(kUnit.size());
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos) return whole;
  const auto first = ParseNumber(header.substr(0, dash));
  const auto last = ParseNumber(header.substr(dash + 1));
  const auto beyond = [&] {
    return Fail(ErrorCode::kInvalid, "the range {} has no byte of the file's {}", header, size);
  };
  if (dash == 0) {  // the last so many
    if (!last) return whole;
    if (*last == 0 || size == 0) return beyond();
    const uint64_t length = std::min(*last, size);
    return std::optional(ByteRange{size - length, length});
  }
  if (!first || (dash + 1 < header.size() && !last) || (last && *last < *first)) return whole;
  if (*first >= size) return beyond();
  const uint64_t end = last ? std::min(*last, size - 1) : size - 1;
  return std::optional(ByteRange{*first, end - *first + 1});
}

// --- download ------------------------------------------------------------------------------------

Async<void> RawFiles::HandleGet(http::Exchange& exchange, const Caller& caller) {
  api::FileParams params = ParamsOf(exchange.request(), caller);
  exchange.Note(fmt::format("{}/{}", params.namespace_, params.sandbox));
  Call call{.caller = caller, .cancellation = exchange.cancellation(), .sink = nullptr};
  const base::Status sent = co_await Download(exchange, call, std::move(params));
  // After the beginning was sent there is no other way to say it than to break off.
  if (!sent && !exchange.answered()) co_await RespondError(exchange, ApiErrorOf(sent.error()));
}

Async<base::Status> RawFiles::Download(http::Exchange& exchange, Call call,
                                       api::FileParams params) {
  if (!call.caller.MayHold(FileReading::kMaxWaiting)) {
    co_return Fail(ErrorCode::kLimit, "this key has too many downloads at once: end one");
  }
  CO_TRY(Engine::OpenedFile file, co_await engine_.OpenFile(call, params));
  const uint64_t size = file.status.size;
  http::Headers headers = {{"Content-Disposition", "attachment"}, {"Accept-Ranges", "bytes"}};
  const bool ranged =
      exchange.request().method == "GET" && exchange.request().Header("if-range").empty();
  const auto range =
      ranged ? ParseRange(exchange.request().Header("range"), size) : std::optional<ByteRange>();
  if (!range) {
    co_await exchange.Respond({.status = 416,
                               .content_type = "application/json",
                               .body = BodyOf({416, 2001, range.error().message()}),
                               .headers = {{"Content-Range", fmt::format("bytes */{}", size)}}});
    co_return base::Status();
  }
  const bool head = exchange.request().method == "HEAD";
  // What says that it is empty may have something to say all the same (/proc).
  const bool sized = size > 0;
  const ByteRange part = range->value_or(ByteRange{0, size});
  if (*range) {
    headers.emplace_back("Content-Range", fmt::format("bytes {}-{}/{}", part.first,
                                                      part.first + part.length - 1, size));
  }
  if (!head) {
    CO_TRY(file.Begin(part.first, sized ? std::optional(part.length) : std::nullopt));
    // An error at opening is still an answer of its own.
    CO_TRY([[maybe_unused]] const auto opened, co_await file.reading->Status(call.cancellation));
  }
  CO_TRY(co_await exchange.BeginStream(*range ? 206 : 200, "application/octet-stream",
                                       std::move(headers),
                                       sized ? std::optional(part.length) : std::nullopt));
  uint64_t left = sized ? part.length : UINT64_MAX;  // the guest may say more than it announced
  while (!head && left > 0) {
    CO_TRY(std::string piece, co_await file.reading->Next(call.cancellation));
    if (piece.empty()) break;
    piece.resize(std::min<uint64_t>(piece.size(), left));
    left -= piece.size();
    CO_TRY(co_await exchange.Write(std::move(piece)));
  }
  co_return co_await exchange.EndStream();
}

// --- upload --------------------------------------------------------------------------------------

Async<void> RawFiles::HandlePut(http::Exchange& exchange, const Caller& caller) {
  const http::Request& request = exchange.request();
  const api::FileParams common = ParamsOf(request, caller);
  exchange.Note(fmt::format("{}/{}", common.namespace_, common.sandbox));
  api::FileWriteParams params;
  params.sandbox = common.sandbox;
  params.namespace_ = common.namespace_;
  params.path = common.path;
  params.user = common.user;
  params.mode = request.Query("mode");
  params.parents = request.Query("parents").value_or("true") != "false";
  Call call{.caller = caller, .cancellation = exchange.cancellation(), .sink = nullptr};
  std::optional<base::Error> unread;
  const auto info = co_await Upload(exchange, call, std::move(params), unread);
  if (unread) co_return co_await exchange.Respond(http::BodyErrorResponse(*unread));
  if (!info) co_return co_await RespondError(exchange, ApiErrorOf(info.error()));
  co_await exchange.Respond({.status = 200,
                             .content_type = "application/json",
                             .body = base::json::Write(*info),
                             .headers = {}});
}

Async<base::Result<api::FileInfo>> RawFiles::Upload(http::Exchange& exchange, Call call,
                                                    api::FileWriteParams params,
                                                    std::optional<base::Error>& unread) {
  CO_TRY(Engine::NewFile file, co_await engine_.CreateFile(call, std::move(params)));
  std::string buffer(kPiece, '\0');
  for (;;) {
    const auto got = co_await exchange.ReadSome(buffer);
    if (!got) {
      co_await engine_.AbandonFile(std::move(file));
      unread = got.error();
      co_return *unread;
    }
    if (*got == 0) break;
    const base::Status put =
        co_await file.writing->Put(std::string_view(buffer).substr(0, *got), call.cancellation);
    if (!put) {
      co_await engine_.AbandonFile(std::move(file));
      co_return put.error();
    }
  }
  co_return co_await engine_.FinishFile(std::move(file), call);
}

}  // namespace msb::server::rpc
