#include "src/server/http/served_exchange.h"

#include <utility>

#include "src/base/log.h"
#include "src/server/http/web_socket.h"

namespace msb::server::http {
namespace {

using base::ErrorCode;

base::Error Misused(const char* what) {
  LOG(kError, "a handler of ours {}", what);
  return base::Fail(ErrorCode::kInvalid, "{}", what);
}

// Held as a piece of a stream is.
constexpr size_t kPieceBytes = 64 << 10;

bool HasNoBody(int status) { return status == 204 || status == 304; }

}  // namespace

ServedExchange::ServedExchange(Transport& transport, const Head& head,
                               const ConnectionLimits& limits, MemoryBudget& budget,
                               Headers answer_headers)
    : transport_(transport),
      head_(head),
      limits_(limits),
      budget_(budget),
      hold_(std::make_shared<MemoryBudget::Hold>(budget, "")),
      answer_headers_(std::move(answer_headers)),
      body_(transport, head, limits),
      keep_alive_(head.keep_alive) {}

ServedExchange::~ServedExchange() { transport_.UnwatchPeer(); }

Async<base::Result<std::string>> ServedExchange::ReadBody(size_t limit) {
  auto body = co_await body_.ReadAll(limit, *hold_);
  WatchPeer();
  co_return body;
}

Async<base::Result<size_t>> ServedExchange::ReadSome(std::span<char> buffer) {
  const auto size = co_await body_.ReadSome(buffer);
  WatchPeer();
  co_return size;
}

void ServedExchange::NoteKey(std::string key_id) {
  hold_ = std::make_shared<MemoryBudget::Hold>(budget_, key_id);
  key_ = std::move(key_id);
}

std::optional<uint64_t> ServedExchange::content_length() const {
  if (head_.chunked) return std::nullopt;
  return head_.content_length.value_or(0);
}

Cancellation& ServedExchange::cancellation() {
  watch_wanted_ = true;
  WatchPeer();
  return cancellation_;
}

// Only once the body has come: until then what the client sends is that.
void ServedExchange::WatchPeer() {
  if (!watch_wanted_ || !body_.done()) return;
  if (state_ == State::kUpgraded) return;
  watch_wanted_ = false;
  transport_.WatchPeer([this] {
    keep_alive_ = false;
    cancellation_.Cancel();
  });
}

std::string ServedExchange::Begin(int status, std::string_view content_type, const Headers& headers,
                                  BodyFraming framing, uint64_t length) {
  // A body that nobody read is dropped if it is here already; else it costs the connection.
  if (!body_.DropBuffered()) keep_alive_ = false;
  status_ = status;
  framing_ = framing;
  if (framing == BodyFraming::kUntilClose) keep_alive_ = false;
  Headers all = answer_headers_;
  all.insert(all.end(), headers.begin(), headers.end());
  return FormatHead({.status = status,
                     .content_type = content_type,
                     .request_id = head_.request.id,
                     .framing = framing,
                     .length = length,
                     .keep_alive = keep_alive_,
                     .http_1_0 = head_.http_1_0},
                    all);
}

Async<base::Status> ServedExchange::Send(std::string_view data) {
  auto sent = co_await transport_.Write(data, Pace(limits_));
  if (!sent) {
    state_ = State::kBroken;
    keep_alive_ = false;
    cancellation_.Cancel();
  }
  co_return sent;
}

Async<void> ServedExchange::Respond(Response response) {
  if (state_ != State::kOpen) {
    (void)Misused("answers a request twice");
    co_return;
  }
  const bool bodiless = HasNoBody(response.status);
  const bool is_long = !bodiless && response.body.size() > kPieceBytes;
  if (const auto held = hold_->Take(is_long ? response.body.size() : 0); !held) {
    response = ErrorResponse(503, kRefusedCode,
                             fmt::format("the request was served, but its answer of {} bytes "
                                         "cannot be given: {}",
                                         response.body.size(), held.error().message()));
    co_return co_await Respond(std::move(response));
  }
  std::string head =
      Begin(response.status, bodiless ? "" : response.content_type, response.headers,
            bodiless ? BodyFraming::kNone : BodyFraming::kLength, response.body.size());
  state_ = State::kComplete;
  const bool has_body = !bodiless && head_.request.method != "HEAD";
  if (has_body && !is_long) head += response.body;
  const base::Status begun = co_await Send(head);
  if (begun && has_body && is_long) (void)co_await Send(response.body);
}

Async<base::Status> ServedExchange::BeginStream(int status, std::string content_type,
                                                Headers headers, std::optional<uint64_t> length) {
  if (state_ != State::kOpen) co_return Misused("answers a request twice");
  const BodyFraming framing = length           ? BodyFraming::kLength
                              : head_.http_1_0 ? BodyFraming::kUntilClose
                                               : BodyFraming::kChunked;
  left_ = length.value_or(0);
  state_ = State::kStreaming;
  co_return co_await Send(Begin(status, content_type, headers, framing, left_));
}

Async<base::Status> ServedExchange::Write(std::string data) {
  if (state_ == State::kBroken) {
    co_return base::Error(ErrorCode::kClosed, "the client has closed the connection");
  }
  if (state_ != State::kStreaming) co_return Misused("writes to no stream");
  if (data.empty() || head_.request.method == "HEAD") co_return base::Status();
  if (framing_ == BodyFraming::kLength) {
    if (data.size() > left_) co_return Misused("writes more than the length it announced");
    left_ -= data.size();
  }
  if (framing_ == BodyFraming::kChunked) data = fmt::format("{:x}\r\n{}\r\n", data.size(), data);
  co_return co_await Send(data);
}

Async<base::Status> ServedExchange::EndStream() {
  if (state_ == State::kBroken) {
    co_return base::Error(ErrorCode::kClosed, "the client has closed the connection");
  }
  if (state_ != State::kStreaming) co_return Misused("ends no stream");
  const bool head_only = head_.request.method == "HEAD";
  if (framing_ == BodyFraming::kLength && left_ > 0 && !head_only) {
    keep_alive_ = false;  // the client sees that something is missing
  }
  state_ = State::kComplete;
  if (framing_ != BodyFraming::kChunked || head_only) co_return base::Status();
  co_return co_await Send("0\r\n\r\n");
}

Async<base::Result<std::unique_ptr<WebSocket>>> ServedExchange::Upgrade(size_t max_message_bytes) {
  if (state_ != State::kOpen) co_return Misused("answers a request twice");
  CO_TRY(CheckHandshake(head_));
  if (!transport_.buffered().empty()) {
    co_return base::Error(ErrorCode::kInvalid,
                          "the client sends messages before the WebSocket is open");
  }
  transport_.UnwatchPeer();
  state_ = State::kUpgraded;
  status_ = 101;
  keep_alive_ = false;
  auto opened = co_await OpenWebSocket(transport_.socket(), head_.request, cancellation_,
                                       {.max_message_bytes = max_message_bytes,
                                        .connection = limits_,
                                        .budget = budget_,
                                        .key = key_.value_or("")});
  if (!opened) state_ = State::kBroken;
  co_return opened;
}

bool ServedExchange::Finish() {
  transport_.UnwatchPeer();
  if (state_ == State::kStreaming) LOG(kDebug, "a stream ended before its end");
  return state_ == State::kComplete && keep_alive_ && body_.DropBuffered();
}

}  // namespace msb::server::http
