// The endpoint's part for the stateless protocol (2026-07-28): each POST is one request with all
// that belongs to it, answered by JSON or by one stream. Closing the stream cancels the request.
#include <utility>

#include "src/server/mcp/connection.h"
#include "src/server/mcp/envelope.h"

namespace msb::server::mcp {
namespace {

http::Response Answer(const Value& id, const RpcError& error) {
  return {.status = StatusOf(error.code),
          .content_type = "application/json",
          .body = WriteError(id, error),
          .headers = {}};
}

// What is wrong with the headers, or with the envelope.
std::optional<RpcError> Check(const http::Request& request, const Message& message) {
  const auto envelope = ReadEnvelope(message.params);
  if (!envelope) return envelope.error();
  if (!*envelope) {
    return RpcError{kInvalidParams,
                    "params._meta: expected protocolVersion and clientCapabilities, as version "
                    "2026-07-28 has them"};
  }
  if (request.Header("mcp-method") != message.method) {
    return RpcError{kHeaderMismatch, "the header Mcp-Method is not the request's method"};
  }
  const std::string_view name = NameInHeader(message);
  if (!name.empty() && DecodeHeader(request.Header("mcp-name")) != name) {
    return RpcError{kHeaderMismatch, "the header Mcp-Name is not the name in the request"};
  }
  return std::nullopt;
}

// Of an answer, the code of its error; 0 if it is none.
int CodeOf(const std::string& answer) {
  constexpr size_t kMostOfAnError = 64 << 10;
  if (answer.size() > kMostOfAnError) return 0;
  const auto value = base::json::ParseValue(answer);
  const Value* error = value ? value->get_object().if_contains("error") : nullptr;
  return error == nullptr ? 0 : static_cast<int>(error->at("code").to_number<int64_t>());
}

}  // namespace

int StatusOf(int code) {
  switch (code) {
    case kMethodNotFound:
      return 404;
    case kParseError:
    case kInvalidRequest:
    case kInvalidParams:
    case kHeaderMismatch:
    case kUnsupportedVersion:
      return 400;
    default:
      return 200;
  }
}

Async<void> Endpoint::PostStateless(http::Exchange& exchange, Caller caller, Message message) {
  if (message.kind == Message::Kind::kNotification) {  // there is none that could matter
    co_return co_await exchange.Respond({.status = 202});
  }
  if (message.kind == Message::Kind::kResponse) {
    co_return co_await exchange.Respond(
        Answer(nullptr, {kInvalidRequest, "nothing was asked of the client"}));
  }
  if (const auto error = Check(exchange.request(), message)) {
    co_return co_await exchange.Respond(Answer(message.id, *error));
  }
  exchange.Note("mcp " + message.method);
  const auto connection =
      std::make_shared<Connection>(executor_, features_, caller.key_id, options_);
  const auto stream = connection->OpenStream(1);
  const auto reader = stream->Attach();
  connection->session().Receive(std::move(message), caller, stream);
  if (stream->complete() && !stream->entries().empty()) {
    const std::string& answer = stream->entries().back().message;
    co_return co_await exchange.Respond({.status = StatusOf(CodeOf(answer)),
                                         .content_type = "application/json",
                                         .body = answer,
                                         .headers = {}});
  }
  co_await connection->RespondWithEvents(exchange, stream, reader, 0);
}

}  // namespace msb::server::mcp
