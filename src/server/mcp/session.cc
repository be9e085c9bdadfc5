#include "src/server/mcp/session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include <utility>
#include <vector>

namespace msb::server::mcp {

using base::ErrorCode;
using base::Fail;
using base::Result;

// One call of a tool, while it runs.
class Session::Call : public ToolContext {
 public:
  Call(Session& session, Value id, Caller caller, std::shared_ptr<Outlet> outlet,
       const Object& params, const std::optional<Envelope>& envelope)
      : session_(session),
        id_(std::move(id)),
        caller_(std::move(caller)),
        outlet_(outlet),
        envelope_(envelope) {
    const Value* meta = params.if_contains("_meta");
    if (meta == nullptr || !meta->is_object()) return;
    const Value* token = meta->get_object().if_contains("progressToken");
    if (token != nullptr && (token->is_string() || token->is_int64())) progress_token_ = *token;
  }

  const Caller& caller() const override { return caller_; }
  Cancellation& cancellation() override { return cancellation_; }
  Version version() const override { return session_.version_.value_or(kNewestWithSessions); }
  bool wants_progress() const override { return progress_token_.has_value(); }
  bool wants_log(Severity severity) const override {
    if (!session_.features_->logging) return false;
    return severity >=
           (envelope_ ? envelope_->least_severity.value_or(kNothing) : session_.least_severity_);
  }
  void Disconnect() override { outlet_->Disconnect(); }

  void Progress(double progress, std::optional<double> total, std::string_view message) override {
    if (!progress_token_ || cancellation_.cancelled()) return;
    Object params{{"progressToken", *progress_token_}, {"progress", progress}};
    if (total) params["total"] = *total;
    if (!message.empty() && session_.AtLeast(Version::k2025_03_26)) {
      params["message"] = Value(message);
    }
    outlet_->Send(WriteNotification("notifications/progress", std::move(params)));
  }

  void Log(Severity severity, std::string_view logger, Value data) override {
    if (!wants_log(severity) || cancellation_.cancelled()) return;
    outlet_->Send(
        WriteNotification("notifications/message", {{"level", base::json::Encode(severity)},
                                                    {"logger", Value(logger)},
                                                    {"data", std::move(data)}}));
  }

  Async<Result<Value>> Ask(std::string method, Object params) override;

  const Value& id() const { return id_; }
  const std::shared_ptr<Outlet>& outlet() const { return outlet_; }

 private:
  static constexpr Severity kNothing{static_cast<int>(Severity::kEmergency) + 1};

  Session& session_;  // RunTool holds it
  Value id_;
  Caller caller_;
  std::shared_ptr<Outlet> outlet_;
  std::optional<Envelope> envelope_;  // of the stateless protocol
  std::optional<Value> progress_token_;
  Cancellation cancellation_;
};

Async<Result<Value>> Session::Call::Ask(std::string method, Object params) {
  if (!session_.ClientCan(method)) {
    co_return Fail(ErrorCode::kUnsupported, "the client does not offer {}", method);
  }
  const int64_t number = session_.next_question_++;
  const auto question = std::make_shared<Question>(session_.executor_);
  session_.questions_[number] = question;
  outlet_->Send(WriteRequest(number, method, std::move(params)));
  {
    const Cancellation::Watch watch(cancellation_, [question] { question->answered.Set(); });
    co_await question->answered.Wait();
  }
  session_.questions_.erase(number);
  if (!question->outcome) {
    co_return Fail(ErrorCode::kClosed, "the call was cancelled before the client answered {}",
                   method);
  }
  if (!*question->outcome) {
    co_return Fail(ErrorCode::kProtocol, "the client refused {}: {}", method,
                   base::EscapeForTerminal(question->outcome->error().message));
  }
  co_return **std::move(question->outcome);
}

Session::Session(boost::asio::any_io_executor executor, std::shared_ptr<const Features> features,
                 std::shared_ptr<Outlet> outlet)
    : executor_(executor),
      features_(std::move(features)),
      outlet_(std::move(outlet)),
      quiet_(executor) {
  quiet_.Set();
}

Session::~Session() = default;

void Session::Receive(Message message, const Caller& caller, std::shared_ptr<Outlet> outlet) {
  switch (message.kind) {
    case Message::Kind::kRequest:
      HandleRequest(std::move(message), caller, std::move(outlet));
      break;
    case Message::Kind::kNotification:
      HandleNotification(message);
      break;
    case Message::Kind::kResponse:
      HandleResponse(std::move(message));
      break;
  }
}

void Session::HandleRequest(Message message, const Caller& caller, std::shared_ptr<Outlet> outlet) {
  const auto refuse = [&](RpcError error) { outlet->Answer(WriteError(message.id, error)); };
  if (ended_) return refuse({kServerError, "the session has ended; start a new one"});
  auto envelope = ReadEnvelope(message.params);
  if (!envelope) return refuse(std::move(envelope).error());
  if (*envelope) return HandleStateless(std::move(message), **envelope, caller, std::move(outlet));
  const bool first = message.method == "initialize";
  if (stateless() && !first) {
    return refuse({kInvalidParams,
                   "params._meta: expected the protocol version, as in the "
                   "requests before"});
  }
  if (!version_ && !first && message.method != "ping") {
    return refuse({kInvalidRequest, "the session has not begun; send initialize first"});
  }
  if (message.method == "tools/call" && !features_->tools.empty()) {
    if (auto error = StartCall(message, caller, outlet, {})) refuse(*std::move(error));
    return;
  }
  const auto method = Methods().find(message.method);
  if (method == Methods().end()) {
    return refuse({kMethodNotFound,
                   fmt::format("{}: unknown method", base::EscapeForTerminal(message.method))});
  }
  auto outcome = (this->*method->second)(message.params);
  if (!outcome) return refuse(std::move(outcome).error());
  outlet->Answer(WriteResult(message.id, *std::move(outcome)));
}

void Session::HandleStateless(Message message, const Envelope& envelope, const Caller& caller,
                              std::shared_ptr<Outlet> outlet) {
  const auto refuse = [&](RpcError error) { outlet->Answer(WriteError(message.id, error)); };
  if (version_ && !stateless()) {
    return refuse({kInvalidRequest,
                   "the session has begun with initialize; leave the protocol "
                   "version out of params._meta"});
  }
  version_ = Version::k2026_07_28;
  if (message.method == "tools/call" && !features_->tools.empty()) {
    if (auto error = StartCall(message, caller, outlet, envelope)) refuse(*std::move(error));
    return;
  }
  const auto method = StatelessMethods().find(message.method);
  if (method == StatelessMethods().end()) {
    return refuse({kMethodNotFound,
                   fmt::format("{}: unknown method", base::EscapeForTerminal(message.method))});
  }
  auto outcome = (this->*method->second)(message.params);
  if (!outcome) return refuse(std::move(outcome).error());
  CompleteResult(message.method, *features_, outcome->as_object());
  outlet->Answer(WriteResult(message.id, *std::move(outcome)));
}

void Session::HandleNotification(const Message& message) {
  if (message.method != "notifications/cancelled") return;
  const Value* id = message.params.if_contains("requestId");
  if (id == nullptr) return;
  const auto call = calls_.find(base::json::WriteValue(*id));
  if (call == calls_.end()) return;  // it may just have ended
  const std::shared_ptr<Call> kept = call->second;
  kept->cancellation().Cancel();
}

void Session::HandleResponse(Message message) {
  if (!message.id.is_int64()) return;
  const auto question = questions_.find(message.id.get_int64());
  if (question == questions_.end()) return;
  question->second->outcome = std::move(message.outcome);
  question->second->answered.Set();
}

std::optional<RpcError> Session::StartCall(const Message& message, const Caller& caller,
                                           const std::shared_ptr<Outlet>& outlet,
                                           const std::optional<Envelope>& envelope) {
  const Value* name = message.params.if_contains("name");
  if (name == nullptr || !name->is_string()) {
    return RpcError{kInvalidParams, "params.name: expected the name of a tool"};
  }
  const auto tool = std::ranges::find_if(
      features_->tools, [&](const Tool& t) { return name->get_string() == t.name; });
  if (tool == features_->tools.end()) {
    return RpcError{kInvalidParams, fmt::format("{}: unknown tool; tools/list names them",
                                                base::EscapeForTerminal(name->get_string()))};
  }
  const Value* meta = message.params.if_contains("_meta");
  const Value* token = meta != nullptr && meta->is_object()
                           ? meta->get_object().if_contains("progressToken")
                           : nullptr;
  if (token != nullptr && token->is_string() && token->get_string().size() > kMaxIdBytes) {
    return RpcError{kInvalidParams,
                    fmt::format("params._meta.progressToken: longer than {} bytes", kMaxIdBytes)};
  }
  const std::string key = base::json::WriteValue(message.id);
  if (calls_.contains(key)) {
    return RpcError{kInvalidRequest, "id: a call with that id runs already"};
  }
  if (calls_.size() >= kMaxCalls) {
    return RpcError{kServerError,
                    fmt::format("{} calls run already; wait until one has ended", kMaxCalls)};
  }
  auto call = std::make_shared<Call>(*this, message.id, caller, outlet, message.params, envelope);
  calls_[key] = call;
  quiet_.Clear();
  const Value* arguments = message.params.if_contains("arguments");
  if (arguments != nullptr && !arguments->is_object() && !arguments->is_null()) {
    Finish(*call, ToolFailure("arguments: expected an object"));
    return std::nullopt;
  }
  Object given =
      arguments != nullptr && arguments->is_object() ? arguments->get_object() : Object();
  boost::asio::co_spawn(executor_,
                        RunTool(shared_from_this(), std::move(call), *tool, std::move(given)),
                        boost::asio::detached);
  return std::nullopt;
}

// `tool` is one of the features, which the session shares.
Async<void> Session::RunTool(std::shared_ptr<Session> self, std::shared_ptr<Call> call,
                             const Tool& tool, Object arguments) {
  ToolResult result = co_await tool.call(*call, std::move(arguments));
  self->Finish(*call, std::move(result));
}

void Session::Finish(Call& call, ToolResult result) {
  const std::shared_ptr<Outlet> outlet = call.outlet();
  if (call.cancellation().cancelled()) {
    outlet->Withdraw();
  } else {
    Object json{{"content", std::move(result.content)}};
    if (result.is_error) json["isError"] = true;
    if (result.structured && AtLeast(Version::k2025_06_18)) {
      json["structuredContent"] = *std::move(result.structured);
    }
    if (stateless()) CompleteResult("tools/call", *features_, json);
    outlet->Answer(WriteResult(call.id(), std::move(json)));
  }
  calls_.erase(base::json::WriteValue(call.id()));
  if (calls_.empty()) quiet_.Set();
}

void Session::CancelCallsOf(const Outlet& outlet) {
  std::vector<std::shared_ptr<Call>> found;  // a cancelled one may leave calls_ at once
  for (const auto& [id, call] : calls_) {
    if (call->outlet().get() == &outlet) found.push_back(call);
  }
  for (const auto& call : found) call->cancellation().Cancel();
}

void Session::End() {
  ended_ = true;
  const auto calls = calls_;
  for (const auto& [id, call] : calls) call->cancellation().Cancel();
}

Async<void> Session::Drain() { co_await quiet_.Wait(); }

void Session::ResourceUpdated(const std::string& uri) {
  if (!subscriptions_.contains(uri)) return;
  outlet_->Send(WriteNotification("notifications/resources/updated",
                                  {{"uri", Value(std::string_view(uri))}}));
}

bool Session::ClientCan(std::string_view method) const {
  if (stateless()) return false;  // its servers ask nothing
  // "sampling/createMessage" needs the capability "sampling".
  return client_capabilities_.contains(method.substr(0, method.find('/')));
}

}  // namespace msb::server::mcp
