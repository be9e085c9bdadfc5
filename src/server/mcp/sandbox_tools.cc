// Tools that start, stop and look at sandboxes; what all of MCP's features are put together from.
#include <algorithm>
#include <utility>

#include "src/base/log.h"
#include "src/server/mcp/tool.h"
#include "src/server/mcp/tools.h"

namespace msb::server::mcp {
namespace {

// What sandbox_start and sandbox_stop give.
struct SandboxResult {
  std::string sandbox;
  std::string namespace_;
  std::string message;
  static constexpr auto kDocs = api::Docs({
      {"sandbox", "Name"},
      {"namespace_", "Namespace"},
      {"message", "What was done"},
  });
};
BOOST_DESCRIBE_STRUCT(SandboxResult, (), (sandbox, namespace_, message))

constexpr std::string_view kInstructions =
    "microsandbox runs code and programs in sandboxes: small virtual machines of their own, apart "
    "from the user's computer and files. Start one with sandbox_start (give it any name and an "
    "image: microsandbox/python or microsandbox/node), then use sandbox_run_code (variables are "
    "kept between calls), sandbox_run_command and the file tools with the same name. A sandbox "
    "has no network: nothing can be downloaded or installed in it from elsewhere, so use what its "
    "image has, and sandbox_write_file. It keeps its files when it is stopped and started again. "
    "Stop it with sandbox_stop when it is not needed any more. Leave \"namespace\" out, unless the "
    "user names one: then give it in all calls about that sandbox.";

// Whether it runs, as far as the service says so.
Async<bool> IsRunning(Service& service, ToolContext& context, const api::StartParams& params) {
  const auto list =
      co_await service.List(CallOf(context), {.namespace_ = params.namespace_, .stopped = false});
  if (!list) co_return false;
  co_return std::ranges::any_of(
      list->sandboxes, [&](const api::SandboxInfo& one) { return one.name == params.sandbox; });
}

Async<ToolResult> Start(Service& service, StartedSandboxes* started, ToolContext& context,
                        Object arguments) {
  auto params = ReadArguments<api::StartParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kSandbox);
  const bool ran = started != nullptr && co_await IsRunning(service, context, *params);
  const std::string name = params->sandbox;
  const std::string space = params->namespace_;
  auto message = co_await service.Start(CallOf(context), *std::move(params));
  // A sandbox need not be there; what is missing is its image, and the service says how to get it.
  if (!message) co_return Failed(message.error(), Subject::kImage);
  if (started != nullptr && !ran) started->Add(space, name);
  const std::string text =
      *message +
      ". Use sandbox_run_code or sandbox_run_command with the same sandbox and namespace.";
  co_return Success(
      text, SandboxResult{.sandbox = name, .namespace_ = space, .message = *std::move(message)});
}

Async<ToolResult> Stop(Service& service, StartedSandboxes* started, ToolContext& context,
                       Object arguments) {
  auto params = ReadArguments<api::StopParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kSandbox);
  const std::string name = params->sandbox;
  const std::string space = params->namespace_;
  auto message = co_await service.Stop(CallOf(context), *std::move(params));
  if (!message) co_return Failed(message.error(), Subject::kSandbox);
  if (started != nullptr) started->Remove(space, name);
  const std::string text =
      *message + ". Its files are kept: sandbox_start with the same name brings them back.";
  co_return Success(
      text, SandboxResult{.sandbox = name, .namespace_ = space, .message = *std::move(message)});
}

Async<ToolResult> List(Service& service, ToolContext& context, Object arguments) {
  auto params = ReadArguments<api::ListParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kSandbox);
  const auto list = co_await service.List(CallOf(context), *std::move(params));
  if (!list) co_return Failed(list.error(), Subject::kSandbox);
  std::string text;
  for (const api::SandboxInfo& one : list->sandboxes) {
    text += fmt::format("{}/{}: {}, image {}\n", one.namespace_, one.name,
                        base::json::Encode(one.status).get_string().c_str(), one.image);
  }
  if (text.empty()) text = "There are no sandboxes. sandbox_start makes one.";
  co_return Success(text, *list);
}

std::string Measured(const Value& value, std::string_view unit) {
  if (value.is_double()) return fmt::format("{:.1f} {}", value.get_double(), unit);
  return value.is_null() ? "unknown" : fmt::format("{} {}", base::json::WriteValue(value), unit);
}

Async<ToolResult> Metrics(Service& service, ToolContext& context, Object arguments) {
  auto params = ReadArguments<api::MetricsParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kSandbox);
  const auto metrics = co_await service.Metrics(CallOf(context), *std::move(params));
  if (!metrics) co_return Failed(metrics.error(), Subject::kSandbox);
  std::string text;
  for (const api::SandboxMetrics& one : metrics->sandboxes) {
    text += fmt::format("{}/{}: {}, CPU {}, memory {}, disk {}\n", one.namespace_, one.name,
                        one.running ? "running" : "stopped", Measured(one.cpu_usage, "%"),
                        Measured(one.memory_usage, "MiB"), Measured(one.disk_usage, "bytes"));
  }
  if (text.empty()) text = "No sandbox runs in that namespace.";
  co_return Success(text, *metrics);
}

// What a configuration must not have in this version is not shown to a model.
Tool WithoutRefusedOptions(Tool tool) {
  Object& properties = tool.input_schema["properties"].as_object();
  Object& config = properties["config"].as_object()["properties"].as_object();
  for (const std::string_view name : {"volumes", "ports", "env_file", "depends_on"}) {
    config.erase(name);
  }
  return tool;
}

// The service's errors name the API's methods; a model has tools. Those of methods that are none of
// its tools' stay as they are.
std::string WithToolNames(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kTools[] = {
      {"(sandbox.start)", "(sandbox_start)"},
      {"(sandbox.stop)", "(sandbox_stop)"},
      {"(sandbox.list)", "(sandbox_list)"},
  };
  for (const auto& [method, tool] : kTools) {
    for (size_t at = 0; (at = text.find(method, at)) != std::string::npos; at += tool.size()) {
      text.replace(at, method.size(), tool);
    }
  }
  return text;
}

}  // namespace

ToolResult Failed(const base::Error& error, Subject subject, std::string_view output) {
  std::string text(output);
  text += WithToolNames(error.message());
  if (error.code() == base::ErrorCode::kNotFound && subject != Subject::kImage) {
    text += subject == Subject::kSandbox
                ? ". sandbox_list names the sandboxes that there are, sandbox_start starts one."
                : ". sandbox_list_files shows what a directory holds, sandbox_list names the "
                  "sandboxes that there are.";
  }
  return ToolFailure(text);
}

Async<void> StopStarted(Service& service, StartedSandboxes& started, Caller caller) {
  constexpr double kGrace_s = 1;  // the client waits for our end
  Cancellation never;
  for (const auto& [space, name] : started.Take()) {
    const auto stopped =
        co_await service.Stop({.caller = caller, .cancellation = never},
                              {.sandbox = name, .namespace_ = space, .grace = kGrace_s});
    if (!stopped) LOG(kWarning, "{}/{}: {}", space, name, stopped.error().message());
  }
}

std::vector<Tool> SandboxTools(Service& service, StartedSandboxes* started) {
  std::vector<Tool> tools;
  tools.push_back(WithoutRefusedOptions(MakeTool<api::StartParams, SandboxResult>(
      {"sandbox_start", "Start a sandbox",
       "Starts a sandbox: a small virtual machine in which code and programs run, apart from the "
       "user's computer. Choose a name, and an image in config.image: microsandbox/python (Python "
       "3) or microsandbox/node (Node.js); both have a shell and the usual commands. It has no "
       "network: pip, npm and downloads fail. Defaults: 1024 MiB of memory, 1 CPU. A sandbox that "
       "runs already is left as it is, so it does no harm to call this again. One that was "
       "stopped has its files back, and needs no config. Next: sandbox_run_code or "
       "sandbox_run_command with the same name. With reset, all files in it are lost."},
      {.destructive = true, .idempotent = true},
      [&service, started](ToolContext& context, Object arguments) {
        return Start(service, started, context, std::move(arguments));
      })));
  tools.push_back(MakeTool<api::StopParams, SandboxResult>(
      {"sandbox_stop", "Stop a sandbox",
       "Stops a sandbox: its programs end and variables of its code are lost; its files are kept, "
       "and are there again after sandbox_start with the same name. Call it when the sandbox is "
       "not needed any more, since it occupies memory."},
      {.destructive = true, .idempotent = true},
      [&service, started](ToolContext& context, Object arguments) {
        return Stop(service, started, context, std::move(arguments));
      }));
  tools.push_back(MakeTool<api::ListParams, api::ListResult>(
      {"sandbox_list", "List sandboxes",
       "Lists the sandboxes of a namespace with their state and image, also those that are "
       "stopped."},
      {.read_only = true}, [&service](ToolContext& context, Object arguments) {
        return List(service, context, std::move(arguments));
      }));
  tools.push_back(MakeTool<api::MetricsParams, api::MetricsResult>(
      {"sandbox_get_metrics", "Measure sandboxes",
       "Says how much CPU time, memory and disk one sandbox uses, or all that run in a namespace, "
       "if \"sandbox\" is left out."},
      {.read_only = true}, [&service](ToolContext& context, Object arguments) {
        return Metrics(service, context, std::move(arguments));
      }));
  return tools;
}

std::shared_ptr<const Features> MakeFeatures(Service& service, ToolOptions options) {
  auto features = std::make_shared<Features>();
  features->version = std::move(options.version);
  features->instructions = kInstructions;
  features->logging = true;
  features->prompts = SandboxPrompts();
  features->tools = SandboxTools(service, options.started);
  std::ranges::move(RunTools(service), std::back_inserter(features->tools));
  std::ranges::move(FileTools(service), std::back_inserter(features->tools));
  return features;
}

}  // namespace msb::server::mcp
