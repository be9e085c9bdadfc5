// Tools that run code and commands.
#include <boost/asio/this_coro.hpp>

#include <utility>

#include "src/server/mcp/tool.h"
#include "src/server/mcp/tools.h"

namespace msb::server::mcp {
namespace {

// How a run ended, where the output alone does not say so.
std::string_view Explain(api::RunEnd end) {
  switch (end) {
    case api::RunEnd::kOk:
    case api::RunEnd::kError:  // the traceback says it
      return "";
    case api::RunEnd::kInterrupted:
      return "[The code was interrupted. What it had defined is kept.]\n";
    case api::RunEnd::kTimeout:
      return "[The code was stopped when its timeout was over. Give a longer timeout, or run less "
             "at once.]\n";
    case api::RunEnd::kExited:
      return "[The interpreter ended, and all variables with it. The next call starts a new "
             "one.]\n";
  }
  return "";
}

std::string TextOf(const Output& output, std::string_view note) {
  std::string text = output.log().Text();
  text += note;
  if (text.empty() && output.images().empty()) text = "[no output]\n";
  return text;
}

ToolResult ResultOf(const std::string& text, const Output& output, Value structured) {
  ToolResult result{.structured = std::move(structured.as_object())};
  if (!text.empty()) result.content.push_back(TextContent(text));
  for (const Value& image : output.images()) result.content.push_back(image);
  return result;
}

Async<ToolResult> RunCode(Service& service, ToolContext& context, Object arguments) {
  auto params = ReadArguments<api::ReplParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kSandbox);
  Output output(context, co_await boost::asio::this_coro::executor);
  auto result = co_await service.RunCode(CallOf(context, &output), *std::move(params));
  if (!result) co_return Failed(result.error(), Subject::kSandbox, output.log().Text());
  result->output = output.log().Lines();
  result->truncated = output.log().truncated();
  result->displays = output.TakeDisplays();
  result->exception = output.TakeException();
  ToolResult answer =
      ResultOf(TextOf(output, Explain(result->end)), output, base::json::Encode(*result));
  answer.is_error = result->end != api::RunEnd::kOk;
  co_return answer;
}

// An exit code other than 0 is no error of the tool: programs such as grep and diff answer with it.
Async<ToolResult> RunCommand(Service& service, ToolContext& context, Object arguments) {
  auto params = ReadArguments<api::CommandParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kSandbox);
  Output output(context, co_await boost::asio::this_coro::executor);
  auto result = co_await service.RunCommand(CallOf(context, &output), *std::move(params));
  if (!result) co_return Failed(result.error(), Subject::kSandbox, output.log().Text());
  result->output = output.log().Lines();
  result->truncated = output.log().truncated();
  std::string note = result->success ? "" : fmt::format("[exit code {}]\n", result->exit_code);
  if (result->out_of_memory) {
    note +=
        "[The command was killed: the sandbox has no memory left. Do with less, or stop the "
        "sandbox and start it with more (config.memory).]\n";
  }
  co_return ResultOf(TextOf(output, note), output, base::json::Encode(*result));
}

}  // namespace

std::vector<Tool> RunTools(Service& service) {
  std::vector<Tool> tools;
  tools.push_back(MakeTool<api::ReplParams, api::ReplResult>(
      {"sandbox_run_code", "Run code in a sandbox",
       "Runs code in a sandbox that was started with sandbox_start, and gives what it prints, the "
       "value of its last expression, and figures as images. language: python (image "
       "microsandbox/python) or node (image microsandbox/node). Variables, imports and functions "
       "are kept from call to call, as in a notebook. Another \"context\" has variables of its "
       "own. Very long output is shortened in its middle. Give a timeout (seconds) for code that "
       "may run for long; there is none by default."},
      {.destructive = true}, [&service](ToolContext& context, Object arguments) {
        return RunCode(service, context, std::move(arguments));
      }));
  tools.push_back(MakeTool<api::CommandParams, api::CommandResult>(
      {"sandbox_run_command", "Run a command in a sandbox",
       "Runs one program in a sandbox that was started with sandbox_start, waits for its end and "
       "gives its output and exit code. There is no shell in between: put the program into "
       "command and each argument into args. For pipes, redirections or variables use command "
       "\"sh\" and args [\"-c\", \"…\"]. Standard input is empty. There is no time limit by "
       "default; give a timeout (seconds) to what may run for long."},
      {.destructive = true}, [&service](ToolContext& context, Object arguments) {
        return RunCommand(service, context, std::move(arguments));
      }));
  return tools;
}

}  // namespace msb::server::mcp
