#include "src/server/http/body.h"

#include <algorithm>

namespace msb::server::http {
namespace {

using base::ErrorCode;

constexpr size_t kPieceBytes = 64 << 10;

base::Error EndedEarly() {
  return {ErrorCode::kClosed, "the client closed the connection in the middle of a request"};
}

}  // namespace

RequestBody::RequestBody(Transport& transport, const Head& head, const ConnectionLimits& limits)
    : transport_(transport),
      head_(head),
      limits_(limits),
      decoder_(limits),
      pace_(limits),
      left_(head.content_length.value_or(0)) {}

Async<base::Status> RequestBody::Begin() {
  if (begun_) co_return base::Status();
  begun_ = true;
  if (!head_.expects_continue || !transport_.buffered().empty() || done()) {
    co_return base::Status();
  }
  co_return co_await transport_.Write("HTTP/1.1 100 Continue\r\n\r\n", Pace(limits_));
}

Async<base::Result<size_t>> RequestBody::ReadSome(std::span<char> buffer) {
  CO_TRY(co_await Begin());
  if (done() || buffer.empty()) co_return size_t{0};
  if (head_.chunked) co_return co_await ReadChunked(buffer);
  co_return co_await ReadPlain(buffer);
}

Async<base::Result<size_t>> RequestBody::ReadPlain(std::span<char> buffer) {
  const auto most = static_cast<size_t>(std::min<uint64_t>(left_, buffer.size()));
  const std::string_view here = transport_.buffered().substr(0, most);
  size_t size = here.size();
  if (size > 0) {
    std::ranges::copy(here, buffer.begin());
    transport_.Consume(size);
  } else {
    const auto more = co_await transport_.Read(buffer.first(most), pace_.Begin());
    pace_.End(more.value_or(0));
    CO_TRY(size, more);
    if (size == 0) co_return EndedEarly();
  }
  left_ -= size;
  co_return size;
}

Async<base::Result<size_t>> RequestBody::ReadChunked(std::span<char> buffer) {
  while (!decoder_.done()) {
    const auto step = decoder_.Decode(transport_.buffered(), buffer.size());
    if (!step) co_return base::Error(ErrorCode::kProtocol, step.error().message);
    const size_t size = step->content.size();
    std::ranges::copy(step->content, buffer.begin());
    transport_.Consume(step->consumed);
    if (size > 0) co_return size;
    if (step->consumed > 0) continue;
    if (decoder_.done()) break;
    const auto more = co_await transport_.Fill(pace_.Begin());
    pace_.End(more.value_or(0));
    CO_TRY(const size_t size_of_more, more);
    if (size_of_more == 0) co_return EndedEarly();
  }
  co_return size_t{0};
}

Async<base::Result<std::string>> RequestBody::ReadAll(size_t limit, MemoryBudget::Hold& hold) {
  const auto too_long = [&] {
    return base::Fail(ErrorCode::kLimit, "the body is longer than {} bytes", limit);
  };
  if (head_.content_length.value_or(0) > limit) co_return too_long();
  CO_TRY(hold.Take(head_.content_length.value_or(0)));
  std::string body;
  // What the client announces is not yet sent: the string grows with what comes.
  while (true) {
    const size_t before = body.size();
    body.resize(before + (head_.chunked ? kPieceBytes : std::min<uint64_t>(left_, kPieceBytes)));
    if (body.size() == before) co_return body;
    CO_TRY(const size_t size, co_await ReadSome(std::span(body).subspan(before)));
    body.resize(before + size);
    if (body.size() > limit) co_return too_long();
    CO_TRY(hold.Take(head_.chunked ? size : 0));
    if (size == 0) co_return body;
  }
}

bool RequestBody::DropBuffered() {
  while (!done()) {
    size_t consumed = std::min<uint64_t>(left_, transport_.buffered().size());
    if (head_.chunked) {
      const auto step = decoder_.Decode(transport_.buffered(), SIZE_MAX);
      if (!step) return false;
      consumed = step->consumed;
      if (consumed == 0) return decoder_.done();
    } else {
      left_ -= consumed;
    }
    if (consumed == 0) return false;
    transport_.Consume(consumed);
  }
  return true;
}

}  // namespace msb::server::http
