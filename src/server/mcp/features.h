// Features: what a server offers over MCP: tools, prompts, resources. Made once by main, shared by
// all sessions, immutable; a session (session.h) does the protocol.
//
// A feature that is empty is neither announced nor answered. Functions here are called on the
// server's thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/server/async.h"
#include "src/server/auth/caller.h"
#include "src/server/mcp/message.h"
#include "src/server/mcp/version.h"

namespace msb::server::mcp {

// RFC 5424's, as the protocol names them.
enum class Severity { kDebug, kInfo, kNotice, kWarning, kError, kCritical, kAlert, kEmergency };
BOOST_DESCRIBE_ENUM(Severity, kDebug, kInfo, kNotice, kWarning, kError, kCritical, kAlert,
                    kEmergency)

// A running call of a tool, as the tool sees it. Belongs to the session; outlives the tool's
// coroutine.
class ToolContext {
 public:
  virtual ~ToolContext() = default;
  virtual const Caller& caller() const = 0;
  virtual Cancellation& cancellation() = 0;
  virtual Version version() const = 0;

  // Whether the client wants to be told of progress. If not, Progress does nothing.
  virtual bool wants_progress() const = 0;
  // `progress` must be larger than the last.
  virtual void Progress(double progress, std::optional<double> total, std::string_view message) = 0;
  // Dropped if the client does not want so little; unless it says: kInfo and above are sent.
  virtual void Log(Severity severity, std::string_view logger, Value data) = 0;
  virtual bool wants_log(Severity severity) const = 0;

  // A request to the client: sampling/createMessage, elicitation/create, roots/list. kUnsupported
  // if it did not say that it can do it, kClosed when the call is cancelled or the session ends,
  // kProtocol if it answers with an error.
  virtual Async<base::Result<Value>> Ask(std::string method, Object params) = 0;
  // The client is to come back for the rest, so that no connection is held meanwhile. Only a hint.
  virtual void Disconnect() = 0;
};

struct ToolResult {
  Array content = {};
  std::optional<Object> structured = {};  // matches the tool's output schema
  bool is_error = false;
};
// A failure that the model can read and act on.
ToolResult ToolFailure(std::string_view message);
Object TextContent(std::string_view text);
Object ImageContent(std::string_view base64, std::string_view mime_type);

struct Tool {
  std::string name;
  std::string title;
  std::string description;
  Object input_schema;
  std::optional<Object> output_schema = {};
  Object annotations = {};
  std::function<Async<ToolResult>(ToolContext& context, Object arguments)> call;
};

struct PromptArgument {
  std::string name;
  std::string description;
  bool required = false;
};
using PromptArguments = std::map<std::string, std::string>;
struct Prompt {
  std::string name;
  std::string title;
  std::string description;
  std::vector<PromptArgument> arguments = {};
  // Its messages. Those that are required are there. kInvalid: wrong arguments.
  std::function<base::Result<Array>(const PromptArguments& arguments)> get;
};

struct Resources {
  Array list;       // as resources/list shows them
  Array templates;  // as resources/templates/list does
  // Its contents; kNotFound.
  std::function<base::Result<Array>(const std::string& uri)> read;
  bool subscriptions = false;
};

struct Features {
  std::string name = "microsandbox";
  std::string title = "microsandbox";
  std::string version;
  std::string instructions = {};  // for the model
  std::vector<Tool> tools = {};
  std::vector<Prompt> prompts = {};
  std::optional<Resources> resources = {};
  bool logging = false;
  // Values for an argument of a prompt, or of a resource's template (`reference`, as the protocol
  // has it).
  std::function<std::vector<std::string>(const Object& reference, const Object& argument)>
      complete = {};
};

}  // namespace msb::server::mcp
