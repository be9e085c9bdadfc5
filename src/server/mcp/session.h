// Session: one client of MCP, from initialize to its end, without transport; or, in the stateless
// protocol, what serves its requests, each of which stands for itself.
//
// Owned by its transport (http.h, stdio.h) and by the calls that run in it, through shared_ptr. One
// thread. What it receives is a client's and may be anything that message.h lets through; each
// request gets exactly one answer, unless it is cancelled. Bounded: kMaxCalls calls run at once, a
// client subscribes to at most kMaxSubscriptions resources.
//
// modelcontextprotocol.io/specification, revisions in version.h.
#pragma once

#include <boost/asio/any_io_executor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "src/server/async.h"
#include "src/server/auth/caller.h"
#include "src/server/mcp/envelope.h"
#include "src/server/mcp/features.h"
#include "src/server/mcp/message.h"
#include "src/server/mcp/version.h"

namespace msb::server::mcp {

// Where a session's messages go: the answer of one POST, a stream, standard output. None of these
// waits: what cannot be sent yet is kept within a bound, or dropped if it is no answer.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual void Send(std::string message) = 0;
  // Exactly one of these for each request that was received with this outlet.
  virtual void Answer(std::string message) = 0;
  virtual void Withdraw() = 0;  // it was cancelled: no answer
  virtual void Disconnect() = 0;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  static constexpr size_t kMaxCalls = 64;
  static constexpr size_t kMaxSubscriptions = 1000;

  // `outlet`: for what belongs to no request.
  Session(boost::asio::any_io_executor executor, std::shared_ptr<const Features> features,
          std::shared_ptr<Outlet> outlet);
  ~Session();
  Session(const Session&) = delete;

  // Never waits. Answers go to `outlet`, soon or later.
  void Receive(Message message, const Caller& caller, std::shared_ptr<Outlet> outlet);
  // Cancels the calls that were received with that outlet.
  void CancelCallsOf(const Outlet& outlet);
  // Cancels all. Nothing is received after it.
  void End();
  // Until no call runs.
  Async<void> Drain();

  std::optional<Version> version() const { return version_; }  // absent before initialize
  // To the clients that subscribed to it.
  void ResourceUpdated(const std::string& uri);

 private:
  class Call;
  using Outcome = std::expected<Value, RpcError>;
  using Method = Outcome (Session::*)(const Object& params);
  static const std::map<std::string_view, Method>& Methods();  // of sessions
  static const std::map<std::string_view, Method>& StatelessMethods();

  void HandleStateless(Message message, const Envelope& envelope, const Caller& caller,
                       std::shared_ptr<Outlet> outlet);
  void HandleRequest(Message message, const Caller& caller, std::shared_ptr<Outlet> outlet);
  void HandleNotification(const Message& message);
  void HandleResponse(Message message);

  Outcome Discover(const Object& params);
  Outcome Initialize(const Object& params);
  Outcome Ping(const Object& params);
  Outcome ListTools(const Object& params);
  Outcome ListPrompts(const Object& params);
  Outcome GetPrompt(const Object& params);
  Outcome ListResources(const Object& params);
  Outcome ListTemplates(const Object& params);
  Outcome ReadResource(const Object& params);
  Outcome Subscribe(const Object& params);
  Outcome Unsubscribe(const Object& params);
  Outcome SetLevel(const Object& params);
  Outcome Complete(const Object& params);

  // What is wrong with it, if it does not start.
  std::optional<RpcError> StartCall(const Message& message, const Caller& caller,
                                    const std::shared_ptr<Outlet>& outlet,
                                    const std::optional<Envelope>& envelope);
  static Async<void> RunTool(std::shared_ptr<Session> self, std::shared_ptr<Call> call,
                             const Tool& tool, Object arguments);
  void Finish(Call& call, ToolResult result);
  Object ToolToJson(const Tool& tool) const;
  bool AtLeast(Version version) const { return version_ && *version_ >= version; }
  bool stateless() const { return version_ == Version::k2026_07_28; }
  bool ClientCan(std::string_view method) const;

  boost::asio::any_io_executor executor_;
  std::shared_ptr<const Features> features_;
  std::shared_ptr<Outlet> outlet_;
  std::optional<Version> version_;
  std::set<std::string, std::less<>> client_capabilities_;  // of those that we ask for
  Severity least_severity_ = Severity::kInfo;
  bool ended_ = false;
  std::set<std::string> subscriptions_;
  std::map<std::string, std::shared_ptr<Call>> calls_;  // by the id, as JSON
  Event quiet_;                                         // no call runs

  // Requests of ours that wait for the client's answer.
  struct Question {
    explicit Question(boost::asio::any_io_executor executor) : answered(std::move(executor)) {}
    Event answered;
    std::optional<Outcome> outcome = {};
  };
  std::map<int64_t, std::shared_ptr<Question>> questions_;
  int64_t next_question_ = 1;
};

}  // namespace msb::server::mcp
