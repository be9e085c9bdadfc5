// The session's methods that are answered at once.
#include <array>
#include <utility>

#include "src/server/mcp/session.h"

namespace msb::server::mcp {
namespace {

std::unexpected<RpcError> Refuse(int code, std::string message) {
  return std::unexpected(RpcError{code, std::move(message)});
}

Value Text(std::string_view text) { return Value(text); }

const std::string* StringIn(const Object& object, std::string_view key, std::string& out) {
  const Value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return nullptr;
  out = std::string(value->get_string());
  return &out;
}

// Lists are given whole: no page but the first has a cursor.
std::optional<RpcError> CheckCursor(const Object& params) {
  const Value* cursor = params.if_contains("cursor");
  if (cursor == nullptr || cursor->is_null()) return std::nullopt;
  return RpcError{kInvalidParams, "params.cursor: this list has one page, without a cursor"};
}

// The client's error code for an Error of a feature.
RpcError ToRpcError(const base::Error& error) {
  switch (error.code()) {
    case base::ErrorCode::kInvalid:
      return {kInvalidParams, error.message()};
    case base::ErrorCode::kNotFound:
      return {kResourceNotFound, error.message()};
    default:
      return {kInternalError, error.message()};
  }
}

Object Capabilities(const Features& features, bool stateless) {
  Object capabilities;
  if (!features.tools.empty()) capabilities["tools"] = Object{};
  if (!features.prompts.empty()) capabilities["prompts"] = Object{};
  if (features.resources) {
    Object resources;
    if (features.resources->subscriptions && !stateless) resources["subscribe"] = true;
    capabilities["resources"] = std::move(resources);
  }
  if (features.logging) capabilities["logging"] = Object{};
  if (features.complete) capabilities["completions"] = Object{};
  return capabilities;
}

Object PromptToJson(const Prompt& prompt, bool titles) {
  Array arguments;
  for (const PromptArgument& argument : prompt.arguments) {
    arguments.push_back(Object{{"name", Text(argument.name)},
                               {"description", Text(argument.description)},
                               {"required", argument.required}});
  }
  Object json{{"name", Text(prompt.name)}, {"description", Text(prompt.description)}};
  if (!arguments.empty()) json["arguments"] = std::move(arguments);
  if (titles) json["title"] = Text(prompt.title);
  return json;
}

std::expected<PromptArguments, RpcError> ReadArguments(const Prompt& prompt, const Object& params) {
  PromptArguments arguments;
  if (const Value* given = params.if_contains("arguments"); given && !given->is_null()) {
    auto decoded = base::json::Decode<PromptArguments>(*given, "arguments");
    if (!decoded) return Refuse(kInvalidParams, decoded.error().message());
    arguments = *std::move(decoded);
  }
  for (const PromptArgument& argument : prompt.arguments) {
    if (argument.required && !arguments.contains(argument.name)) {
      return Refuse(kInvalidParams, fmt::format("arguments.{}: is required", argument.name));
    }
  }
  return arguments;
}

}  // namespace

const std::map<std::string_view, Session::Method>& Session::Methods() {
  static const std::map<std::string_view, Method> kMethods = {
      {"initialize", &Session::Initialize},
      {"ping", &Session::Ping},
      {"tools/list", &Session::ListTools},
      {"prompts/list", &Session::ListPrompts},
      {"prompts/get", &Session::GetPrompt},
      {"resources/list", &Session::ListResources},
      {"resources/templates/list", &Session::ListTemplates},
      {"resources/read", &Session::ReadResource},
      {"resources/subscribe", &Session::Subscribe},
      {"resources/unsubscribe", &Session::Unsubscribe},
      {"logging/setLevel", &Session::SetLevel},
      {"completion/complete", &Session::Complete},
  };
  return kMethods;
}

const std::map<std::string_view, Session::Method>& Session::StatelessMethods() {
  static const std::map<std::string_view, Method> kMethods = {
      {"server/discover", &Session::Discover},
      {"tools/list", &Session::ListTools},
      {"prompts/list", &Session::ListPrompts},
      {"prompts/get", &Session::GetPrompt},
      {"resources/list", &Session::ListResources},
      {"resources/templates/list", &Session::ListTemplates},
      {"resources/read", &Session::ReadResource},
      {"completion/complete", &Session::Complete},
  };
  return kMethods;
}

// What a client may be asked, and by which capability it says that it answers.
constexpr std::array<std::string_view, 3> kAskedOfClients = {"elicitation", "roots", "sampling"};

Session::Outcome Session::Initialize(const Object& params) {
  if (version_ && !stateless()) return Refuse(kInvalidRequest, "the session has begun already");
  std::string wanted;
  if (StringIn(params, "protocolVersion", wanted) == nullptr) {
    return Refuse(kInvalidParams, fmt::format("params.protocolVersion: expected a string, such as "
                                              "\"{}\"",
                                              NameOf(kNewestWithSessions)));
  }
  version_ = std::min(FindVersion(wanted).value_or(kNewestWithSessions), kNewestWithSessions);
  if (const Value* able = params.if_contains("capabilities"); able && able->is_object()) {
    for (const std::string_view name : kAskedOfClients) {
      if (able->get_object().contains(name)) client_capabilities_.emplace(name);
    }
  }

  Object result{{"protocolVersion", Text(NameOf(*version_))},
                {"capabilities", Capabilities(*features_, false)},
                {"serverInfo", ServerInfo(*features_, AtLeast(Version::k2025_06_18))}};
  if (!features_->instructions.empty()) result["instructions"] = Text(features_->instructions);
  return result;
}

Session::Outcome Session::Discover(const Object&) {
  Array versions;
  for (auto name = kVersionNames.rbegin(); name != kVersionNames.rend(); ++name) {
    versions.push_back(Text(*name));
  }
  Object result{{"supportedVersions", std::move(versions)},
                {"capabilities", Capabilities(*features_, true)}};
  if (!features_->instructions.empty()) result["instructions"] = Text(features_->instructions);
  return result;
}

Session::Outcome Session::Ping(const Object&) { return Object{}; }

Object Session::ToolToJson(const Tool& tool) const {
  Object json{{"name", Text(tool.name)},
              {"description", Text(tool.description)},
              {"inputSchema", tool.input_schema}};
  if (AtLeast(Version::k2025_03_26)) {
    Object annotations = tool.annotations;
    annotations["title"] = Text(tool.title);
    json["annotations"] = std::move(annotations);
  }
  if (AtLeast(Version::k2025_06_18)) {
    json["title"] = Text(tool.title);
    if (tool.output_schema) json["outputSchema"] = *tool.output_schema;
  }
  return json;
}

Session::Outcome Session::ListTools(const Object& params) {
  if (features_->tools.empty()) return Refuse(kMethodNotFound, "this server has no tools");
  if (auto error = CheckCursor(params)) return std::unexpected(*std::move(error));
  Array tools;
  for (const Tool& tool : features_->tools) tools.push_back(ToolToJson(tool));
  return Object{{"tools", std::move(tools)}};
}

Session::Outcome Session::ListPrompts(const Object& params) {
  if (features_->prompts.empty()) return Refuse(kMethodNotFound, "this server has no prompts");
  if (auto error = CheckCursor(params)) return std::unexpected(*std::move(error));
  Array prompts;
  for (const Prompt& prompt : features_->prompts) {
    prompts.push_back(PromptToJson(prompt, AtLeast(Version::k2025_06_18)));
  }
  return Object{{"prompts", std::move(prompts)}};
}

Session::Outcome Session::GetPrompt(const Object& params) {
  if (features_->prompts.empty()) return Refuse(kMethodNotFound, "this server has no prompts");
  std::string name;
  if (StringIn(params, "name", name) == nullptr) {
    return Refuse(kInvalidParams, "params.name: expected the name of a prompt");
  }
  const auto prompt = std::ranges::find(features_->prompts, name, &Prompt::name);
  if (prompt == features_->prompts.end()) {
    return Refuse(kInvalidParams, fmt::format("{}: unknown prompt; prompts/list names them",
                                              base::EscapeForTerminal(name)));
  }
  auto arguments = ReadArguments(*prompt, params);
  if (!arguments) return std::unexpected(std::move(arguments).error());
  auto messages = prompt->get(*arguments);
  if (!messages) return std::unexpected(ToRpcError(messages.error()));
  return Object{{"description", Text(prompt->description)}, {"messages", *std::move(messages)}};
}

Session::Outcome Session::ListResources(const Object& params) {
  if (!features_->resources) return Refuse(kMethodNotFound, "this server has no resources");
  if (auto error = CheckCursor(params)) return std::unexpected(*std::move(error));
  return Object{{"resources", features_->resources->list}};
}

Session::Outcome Session::ListTemplates(const Object& params) {
  if (!features_->resources) return Refuse(kMethodNotFound, "this server has no resources");
  if (auto error = CheckCursor(params)) return std::unexpected(*std::move(error));
  return Object{{"resourceTemplates", features_->resources->templates}};
}

Session::Outcome Session::ReadResource(const Object& params) {
  if (!features_->resources) return Refuse(kMethodNotFound, "this server has no resources");
  std::string uri;
  if (StringIn(params, "uri", uri) == nullptr) {
    return Refuse(kInvalidParams, "params.uri: expected a string");
  }
  auto contents = features_->resources->read(uri);
  if (!contents) return std::unexpected(ToRpcError(contents.error()));
  return Object{{"contents", *std::move(contents)}};
}

Session::Outcome Session::Subscribe(const Object& params) {
  if (!features_->resources || !features_->resources->subscriptions) {
    return Refuse(kMethodNotFound, "this server has no resources to subscribe to");
  }
  std::string uri;
  if (StringIn(params, "uri", uri) == nullptr) {
    return Refuse(kInvalidParams, "params.uri: expected a string");
  }
  if (subscriptions_.size() >= kMaxSubscriptions && !subscriptions_.contains(uri)) {
    return Refuse(kServerError, fmt::format("{} subscriptions are the most a session can have; "
                                            "unsubscribe from one",
                                            kMaxSubscriptions));
  }
  subscriptions_.insert(uri);
  return Object{};
}

Session::Outcome Session::Unsubscribe(const Object& params) {
  if (!features_->resources || !features_->resources->subscriptions) {
    return Refuse(kMethodNotFound, "this server has no resources to subscribe to");
  }
  std::string uri;
  if (StringIn(params, "uri", uri) == nullptr) {
    return Refuse(kInvalidParams, "params.uri: expected a string");
  }
  subscriptions_.erase(uri);
  return Object{};
}

Session::Outcome Session::SetLevel(const Object& params) {
  if (!features_->logging) return Refuse(kMethodNotFound, "this server sends no log messages");
  const Value* level = params.if_contains("level");
  auto severity = base::json::Decode<Severity>(level == nullptr ? Value() : *level, "params.level");
  if (!severity) return Refuse(kInvalidParams, severity.error().message());
  least_severity_ = *severity;
  return Object{};
}

Session::Outcome Session::Complete(const Object& params) {
  if (!features_->complete) return Refuse(kMethodNotFound, "this server completes nothing");
  const Value* reference = params.if_contains("ref");
  const Value* argument = params.if_contains("argument");
  if (reference == nullptr || !reference->is_object() || argument == nullptr ||
      !argument->is_object()) {
    return Refuse(kInvalidParams, "params: expected ref and argument, both objects");
  }
  constexpr size_t kMost = 100;  // the protocol's
  Array values;
  const auto found = features_->complete(reference->get_object(), argument->get_object());
  for (const std::string& value : found) {
    if (values.size() < kMost) values.push_back(Text(value));
  }
  return Object{{"completion", Object{{"total", found.size()},
                                      {"hasMore", found.size() > kMost},
                                      {"values", std::move(values)}}}};
}

ToolResult ToolFailure(std::string_view message) {
  return {.content = {TextContent(message)}, .is_error = true};
}

Object TextContent(std::string_view text) { return {{"type", "text"}, {"text", Value(text)}}; }

Object ImageContent(std::string_view base64, std::string_view mime_type) {
  return {{"type", "image"}, {"data", Value(base64)}, {"mimeType", Value(mime_type)}};
}

}  // namespace msb::server::mcp
