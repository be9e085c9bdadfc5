#include "src/server/mcp/http.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "src/server/json_size.h"
#include "src/server/mcp/connection.h"
#include "src/server/mcp/envelope.h"

namespace msb::server::mcp {
namespace {

using base::ErrorCode;

constexpr std::string_view kEventStream = "text/event-stream";
constexpr std::string_view kJson = "application/json";

http::Response Refusal(int status, const RpcError& error, http::Headers headers = {}) {
  return {.status = status, .body = WriteError(nullptr, error), .headers = std::move(headers)};
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<uint8_t>(x)) == std::tolower(static_cast<uint8_t>(y));
  });
}

// The type of a media range or type, without its parameters.
std::string_view TypeOf(std::string_view range) {
  return Trimmed(range.substr(0, range.find(';')));
}

// Whether one of the ranges in Accept covers `type`. Quality is not looked at: both kinds of answer
// are as good. No Accept at all accepts all (RFC 9110, 12.5.1).
bool Accepts(const http::Request& request, std::string_view type) {
  bool any = false;
  for (const auto& [name, value] : request.headers) {
    if (name != "accept") continue;
    for (std::string_view rest = value; !rest.empty();) {
      const size_t comma = rest.find(',');
      const std::string_view range = TypeOf(rest.substr(0, comma));
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      any = any || !range.empty();
      const bool group =
          range.ends_with("/*") && type.starts_with(range.substr(0, range.size() - 1));
      if (range == "*/*" || group || EqualsIgnoringCase(range, type)) return true;
    }
  }
  return !any;
}

std::optional<http::Response> CheckVersion(const http::Request& request) {
  const std::string_view version = request.Header("mcp-protocol-version");
  if (version.empty() || FindVersion(version)) return std::nullopt;
  return Refusal(400, {kServerError, fmt::format("MCP-Protocol-Version {}: this server speaks {}",
                                                 base::EscapeForTerminal(version),
                                                 fmt::join(kVersionNames, ", "))});
}

http::Response RefusedBody(const base::Error& error) {
  const int status = error.code() == ErrorCode::kLimit     ? 413
                     : error.code() == ErrorCode::kBusy    ? 503
                     : error.code() == ErrorCode::kTimeout ? 408
                                                           : 400;
  return Refusal(status, {kInvalidRequest, error.message()});
}

http::Response NoSession(const http::Request& request) {
  if (request.Header("mcp-session-id").empty()) {
    return Refusal(400, {kServerError,
                         "the header Mcp-Session-Id is missing; send initialize first and repeat "
                         "the one of its answer"});
  }
  return Refusal(404, {kServerError, "the session has ended or never was; send initialize again"});
}

bool IsStateless(const http::Request& request) {
  return request.Header("mcp-protocol-version") == NameOf(Version::k2026_07_28);
}

bool HasEnvelopes(const Incoming& incoming) {
  return std::ranges::any_of(incoming.messages, [](const auto& message) {
    return message && HasEnvelope(message->params);
  });
}

bool IsInitialize(const Incoming& incoming) {
  return !incoming.batch && incoming.messages.front() &&
         incoming.messages.front()->kind == Message::Kind::kRequest &&
         incoming.messages.front()->method == "initialize";
}

bool NeedsAnswer(const std::expected<Message, Malformed>& message) {
  return !message || message->kind == Message::Kind::kRequest;
}

// A call of a tool may take long and tells of it meanwhile; all else is answered at once.
bool NeedsStream(const Incoming& incoming) {
  return std::ranges::any_of(incoming.messages, [](const auto& message) {
    return message && message->kind == Message::Kind::kRequest && message->method == "tools/call";
  });
}

}  // namespace

Endpoint::Endpoint(boost::asio::any_io_executor executor, std::shared_ptr<const Features> features,
                   Authenticate authenticate, EndpointOptions options)
    : executor_(std::move(executor)),
      features_(std::move(features)),
      authenticate_(std::move(authenticate)),
      options_(options) {}

Endpoint::~Endpoint() { Close(); }

void Endpoint::Close() {
  const auto connections = std::exchange(connections_, {});
  for (const auto& [id, connection] : connections) connection->End();
}

void Endpoint::End(const std::string& id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const std::shared_ptr<Connection> connection = found->second;
  connections_.erase(found);
  connection->End();
}

std::shared_ptr<Endpoint::Connection> Endpoint::Find(const http::Request& request,
                                                     const Caller& caller) const {
  const auto found = connections_.find(std::string(request.Header("mcp-session-id")));
  if (found == connections_.end() || found->second->key_id() != caller.key_id) return nullptr;
  return found->second;
}

bool Endpoint::MakeRoom(const std::string& key_id) {
  size_t of_key = 0;
  const Connection* oldest = nullptr;
  for (const auto& [id, connection] : connections_) {
    if (connection->key_id() != key_id) continue;
    ++of_key;
    if (connection->in_use()) continue;
    if (oldest == nullptr || connection->idle_since() < oldest->idle_since()) {
      oldest = connection.get();
    }
  }
  if (of_key < options_.max_sessions_of_key && connections_.size() < options_.max_sessions) {
    return true;
  }
  if (oldest == nullptr) return false;
  End(std::string(oldest->id()));
  return true;
}

Async<void> Endpoint::Handle(http::Exchange& exchange) {
  const http::Request& request = exchange.request();
  auto caller = authenticate_(request);
  if (!caller) {
    co_await exchange.Respond(Refusal(401, {kServerError, caller.error().message()},
                                      {{"www-authenticate", "Bearer realm=\"microsandbox\""}}));
    co_return;
  }
  exchange.NoteKey(caller->key_id);
  caller->hold = exchange.hold();
  if (auto refusal = CheckVersion(request)) {
    co_await exchange.Respond(*std::move(refusal));
    co_return;
  }
  if (request.method == "POST") {
    co_await Post(exchange, *std::move(caller));
  } else if (IsStateless(request)) {
    co_await exchange.Respond(
        Refusal(405, {kServerError, "version 2026-07-28 takes POST only"}, {{"allow", "POST"}}));
  } else if (request.method == "GET") {
    co_await Get(exchange, *std::move(caller));
  } else if (request.method == "DELETE") {
    co_await Delete(exchange, *std::move(caller));
  } else {
    co_await exchange.Respond(Refusal(405, {kServerError, "this path takes POST, GET and DELETE"},
                                      {{"allow", "GET, POST, DELETE"}}));
  }
}

Async<void> Endpoint::Post(http::Exchange& exchange, Caller caller) {
  const http::Request& request = exchange.request();
  if (!EqualsIgnoringCase(TypeOf(request.Header("content-type")), kJson)) {
    co_await exchange.Respond(
        Refusal(415, {kServerError, "Content-Type: expected application/json"}));
    co_return;
  }
  if (!Accepts(request, kJson) && !Accepts(request, kEventStream)) {
    co_await exchange.Respond(
        Refusal(406, {kServerError, "Accept: expected application/json and text/event-stream"}));
    co_return;
  }
  auto body = co_await exchange.ReadBody(options_.max_body_bytes);
  if (!body) {
    co_await exchange.Respond(RefusedBody(body.error()));
    co_return;
  }
  auto incoming = co_await ParseAside(options_.parser ? options_.parser : executor_,
                                      *std::move(body), ReadIncoming);
  if (incoming && !incoming->batch && !incoming->messages.front()) {
    incoming = std::unexpected(incoming->messages.front().error());
  }
  if (!incoming) {
    co_await exchange.Respond(
        {.status = 400, .body = WriteError(incoming.error().id, incoming.error().error)});
    co_return;
  }
  if (IsStateless(request) || HasEnvelopes(*incoming)) {
    if (incoming->batch || !IsStateless(request)) {
      co_await exchange.Respond(
          Refusal(400, {kHeaderMismatch,
                        "version 2026-07-28 takes one message at a time, and its name in "
                        "the header MCP-Protocol-Version"}));
      co_return;
    }
    co_await PostStateless(exchange, std::move(caller), *std::move(incoming->messages.front()));
    co_return;
  }
  if (IsInitialize(*incoming)) {
    co_await Begin(exchange, std::move(caller), *std::move(incoming->messages.front()));
    co_return;
  }
  std::shared_ptr<Connection> connection = Find(request, caller);
  if (!connection) {
    co_await exchange.Respond(NoSession(request));
    co_return;
  }
  co_await Deliver(exchange, std::move(caller), std::move(connection), *std::move(incoming));
}

Async<void> Endpoint::Begin(http::Exchange& exchange, Caller caller, Message initialize) {
  if (!MakeRoom(caller.key_id)) {
    co_await exchange.Respond(
        Refusal(503, {kServerError, "too many sessions are in use; end one (DELETE) first"}));
    co_return;
  }
  const auto connection =
      std::make_shared<Connection>(executor_, features_, caller.key_id, options_);
  const auto stream = connection->OpenStream(1);
  const auto reader = stream->Attach();
  connection->session().Receive(std::move(initialize), caller, stream);
  if (connection->session().version()) {
    connections_[connection->id()] = connection;
    connection->OnIdle([this, id = connection->id()] { End(id); });
    exchange.Note("mcp initialize");
  }
  const Connection::Use use(connection);
  co_await connection->RespondWithJson(exchange, stream, reader, false);
}

Async<void> Endpoint::Deliver(http::Exchange& exchange, Caller caller,
                              std::shared_ptr<Connection> connection, Incoming incoming) {
  const Connection::Use use(connection);
  if (incoming.batch && connection->session().version() != Version::k2025_03_26) {
    co_await exchange.Respond(
        Refusal(400, {kInvalidRequest,
                      "batches belong to protocol version 2025-03-26 only; send the "
                      "messages one by one"}));
    co_return;
  }
  const size_t answers = std::ranges::count_if(incoming.messages, NeedsAnswer);
  const bool events = Accepts(exchange.request(), kEventStream) &&
                      (NeedsStream(incoming) || !Accepts(exchange.request(), kJson));
  const auto stream = answers == 0 ? nullptr : connection->OpenStream(answers);
  const auto reader = stream ? stream->Attach() : nullptr;
  for (auto& message : incoming.messages) {
    if (message) {
      if (message->kind == Message::Kind::kRequest) exchange.Note("mcp " + message->method);
      connection->session().Receive(*std::move(message), caller, stream);
    } else {
      stream->Answer(WriteError(message.error().id, message.error().error));
    }
  }
  if (!stream) {
    co_await exchange.Respond({.status = 202});
  } else if (events) {
    co_await connection->RespondWithEvents(exchange, stream, reader, 0);
  } else {
    co_await connection->RespondWithJson(exchange, stream, reader, incoming.batch);
  }
}

Async<void> Endpoint::Get(http::Exchange& exchange, Caller caller) {
  const http::Request& request = exchange.request();
  if (!Accepts(request, kEventStream)) {
    co_await exchange.Respond(Refusal(406, {kServerError, "Accept: expected text/event-stream"}));
    co_return;
  }
  const std::shared_ptr<Connection> connection = Find(request, caller);
  if (!connection) {
    co_await exchange.Respond(NoSession(request));
    co_return;
  }
  const Connection::Use use(connection);
  EventId last;
  if (const std::string_view text = request.Header("last-event-id"); !text.empty()) {
    const auto id = ReadEventId(text);
    if (!id || !connection->FindStream(id->stream)) {
      co_await exchange.Respond(
          Refusal(400, {kServerError,
                        "Last-Event-ID: what came after that event is kept no more; send "
                        "the request again"}));
      co_return;
    }
    last = *id;
  }
  const auto stream = connection->FindStream(last.stream);
  const auto reader = stream->Attach();
  co_await connection->RespondWithEvents(exchange, stream, reader, last.event);
}

Async<void> Endpoint::Delete(http::Exchange& exchange, Caller caller) {
  const std::shared_ptr<Connection> connection = Find(exchange.request(), caller);
  if (!connection) {
    co_await exchange.Respond(NoSession(exchange.request()));
    co_return;
  }
  End(std::string(connection->id()));
  co_await exchange.Respond({.status = 204});
}

}  // namespace msb::server::mcp
