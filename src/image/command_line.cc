#include <CLI/CLI.hpp>

#include <cstdio>
#include <functional>

#include "src/base/paths.h"
#include "src/image/commands.h"

namespace msb::image {
namespace {

// What the chosen subcommand will do once all arguments are known.
using Action = std::function<base::Status()>;

struct Options {
  CommonOptions common;
  LoadOptions load;
  ImportCommandOptions import;
  std::string inspect;
  std::vector<std::string> remove;
};

CLI::App* AddCommand(CLI::App& app, const char* name, const char* description, Options& options) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_flag("--json", options.common.json, "Print JSON");
  command->add_flag("-q,--quiet", options.common.quiet, "No progress");
  return command;
}

// One value a flag, so that a positional argument may follow it.
void AddList(CLI::App* command, const char* name, std::vector<std::string>& into,
             const char* description) {
  command->add_option(name, into, description)->expected(1)->allow_extra_args(false)->take_all();
}

void AddLoad(CLI::App& app, Options& options, Action& action) {
  CLI::App* command =
      AddCommand(app, "load", "Bring the images of an OCI archive or layout", options);
  command
      ->add_option("IMAGE", options.load.path,
                   "An archive (.tar, .tar.gz, .tar.zst), a directory, or - for standard input")
      ->required();
  AddList(command, "-t,--tag", options.load.tags, "Another name for the image (repeatable)");
  command->callback([&] { action = [&] { return RunLoad(options.common, options.load); }; });
}

void AddImport(CLI::App& app, Options& options, Action& action) {
  CLI::App* command = AddCommand(app, "import", "Make an image of a root file system", options);
  command
      ->add_option("ROOTFS", options.import.path,
                   "A tar (.tar, .tar.gz, .tar.zst), a directory, or - for standard input")
      ->required();
  AddList(command, "-t,--tag", options.import.tags, "Its name (repeatable)");
  command->get_option("--tag")->required();
  AddList(command, "--entrypoint", options.import.entrypoint,
          "The program: a word, repeatable, or a JSON array");
  AddList(command, "--cmd", options.import.cmd,
          "Its arguments, or the program: a word, repeatable, or a JSON array");
  AddList(command, "--env", options.import.env, "NAME=VALUE (repeatable)");
  command->add_option("--workdir", options.import.workdir, "Where it starts");
  command->add_option("--user", options.import.user, "Who it is: a name or number, with :GROUP");
  command->add_option("--stop-signal", options.import.stop_signal,
                      "What msb stop sends it (default SIGTERM)");
  command->callback([&] { action = [&] { return RunImport(options.common, options.import); }; });
}

void AddOthers(CLI::App& app, Options& options, Action& action) {
  CLI::App* list = AddCommand(app, "ls", "List the images", options);
  list->callback([&] { action = [&] { return RunList(options.common); }; });

  CLI::App* inspect = AddCommand(app, "inspect", "Show an image's configuration", options);
  inspect->add_option("NAME", options.inspect, "A name or a digest")->required();
  inspect->callback([&] { action = [&] { return RunInspect(options.common, options.inspect); }; });

  CLI::App* remove = AddCommand(app, "rm", "Remove images", options);
  remove->add_option("NAME", options.remove, "Names or digests")->required();
  remove->callback([&] { action = [&] { return RunRemove(options.common, options.remove); }; });

  CLI::App* check = AddCommand(app, "check", "Verify every image of the store", options);
  check->callback([&] { action = [&] { return RunCheck(options.common); }; });
}

int Report(const base::Error& error) {
  std::fprintf(stderr, "msb: %s\n", error.message().c_str());
  return 1;
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  Options options;
  Action action;
  CLI::App app("Images that sandboxes are made of.", "msb image");
  app.require_subcommand(0, 1);  // none at all is said below, after what is unknown
  AddLoad(app, options, action);
  AddImport(app, options, action);
  AddOthers(app, options, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    return Report(
        base::Fail(base::ErrorCode::kInvalid, "{} (see `msb image --help`)", error.what()));
  }
  if (!action) {
    return Report(base::Fail(base::ErrorCode::kInvalid, "which command? (see `msb image --help`)"));
  }
  auto home = base::ResolveHome();
  if (!home) return Report(home.error());
  options.common.home = *std::move(home);
  const base::Status status = action();
  return status ? 0 : Report(status.error());
}

}  // namespace msb::image
