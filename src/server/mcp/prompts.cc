// Prompts: what a user chooses from a menu to have a sandbox set up.
#include <utility>

#include "src/base/bytes.h"
#include "src/sandbox/names.h"
#include "src/server/mcp/tools.h"

namespace msb::server::mcp {
namespace {

using base::ErrorCode;
using base::Fail;
using base::Result;

struct Language {
  std::string_view name;  // as people write it
  std::string_view language;
  std::string_view image;
  std::string_view example;
};
constexpr Language kPython = {"Python", "python", "microsandbox/python", "print('hello')"};
constexpr Language kNode = {"Node.js", "node", "microsandbox/node", "console.log('hello')"};

// They become part of a text that a model obeys: nothing but names.
base::Status CheckName(const std::string& name) {
  if (sandbox::IsSandboxName(name)) return {};
  return Fail(ErrorCode::kInvalid,
              "{}: a name is 1 to 63 of A-Z a-z 0-9 _ -, the first a letter or digit",
              base::EscapeForTerminal(name));
}

Result<Array> Messages(const Language& language, const PromptArguments& arguments) {
  const std::string& sandbox = arguments.at("sandbox_name");
  TRY(CheckName(sandbox));
  std::string which = fmt::format("sandbox \"{}\"", sandbox);
  // Absent: the caller's own, which the tools know.
  if (const auto space = arguments.find("namespace"); space != arguments.end()) {
    TRY(CheckName(space->second));
    which += fmt::format(", namespace \"{}\"", space->second);
  }
  const std::string text = fmt::format(
      "Set up a {0} sandbox for me.\n\n"
      "1. Call sandbox_start with {1} and config {{\"image\": \"{2}\"}}.\n"
      "2. Check that it works: call sandbox_run_code with {1}, language \"{3}\" and "
      "code \"{4}\".\n"
      "3. Tell me that it is ready, and use it for the {0} code that I ask you to run from now "
      "on. Variables are kept between calls.\n"
      "4. When I say that I am done, call sandbox_stop.",
      language.name, which, language.image, language.language, language.example);
  return Array{Object{{"role", "user"}, {"content", TextContent(text)}}};
}

Prompt MakePrompt(const Language& language) {
  return {
      .name = fmt::format("create_{}_sandbox", language.language),
      .title = fmt::format("Create a {} sandbox", language.name),
      .description = fmt::format("Starts a sandbox for {} code and tries it", language.name),
      .arguments = {{"sandbox_name", "Name of the sandbox, such as my-sandbox", true},
                    {"namespace", "Namespace of the sandbox; leave it out for your own", false}},
      .get = [&language](const PromptArguments& arguments) {
        return Messages(language, arguments);
      }};
}

}  // namespace

std::vector<Prompt> SandboxPrompts() { return {MakePrompt(kPython), MakePrompt(kNode)}; }

}  // namespace msb::server::mcp
