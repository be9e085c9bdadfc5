#include "src/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "src/cli/exit_codes.h"
#include "src/cli/values.h"

namespace msb::cli {
namespace {

// A CLI11 validator out of a parser of ours.
template <typename Parse>
CLI::Validator Checked(Parse parse, const char* name) {
  return CLI::Validator(
      [parse](std::string& text) {
        const auto value = parse(text);
        return value ? std::string() : value.error().message();
      },
      name);
}

base::Status InRange(const std::string& text, uint64_t least, uint64_t most, const char* what) {
  const uint64_t size = TRY(ParseSize(text));
  if (size >= least && size <= most) return {};
  return base::Fail(base::ErrorCode::kInvalid, "{} {} is out of range: {} MiB to {} MiB", what,
                    text, least >> 20, most >> 20);
}

// What CLI11 fills in before it is checked and converted.
struct ExeText {
  std::string positional_image;
  std::string image;
  std::string memory = "1024";
  std::string disk = "8G";
  std::vector<std::string> env;
};

class Parser {
 public:
  Parser() : app_("Runs untrusted code in sandboxes with a Linux kernel of their own", "msb") {
    app_.require_subcommand(0, 1);
    app_.set_help_flag("-h,--help", "Print this help");
    app_.add_flag_callback(
        "-V,--version",
        [this] {
          line_.command = VersionOptions{};
          version_ = true;
        },
        "Print the version");
    AddLevels();
    AddExe();
    AddImage();
    CLI::App* doctor = app_.add_subcommand(
        "doctor", "Say what this host can run, what is missing and how to mend it");
    doctor->add_flag("--json", doctor_.json, "Machine-readable");
    doctor->callback([this] { line_.command = doctor_; });
    app_.add_subcommand("version", "Print the version")->callback([this] {
      line_.command = VersionOptions{};
    });
  }

  std::variant<CommandLine, Leave> Parse(std::vector<std::string> arguments) {
    const auto command =
        std::find_if(arguments.begin(), arguments.end(),
                     [](const std::string& word) { return !word.starts_with('-'); });
    const bool exe = command != arguments.end() && (*command == "exe" || *command == "x");
    if (command != arguments.end() && *command == "image") {
      image_.arguments.assign(command + 1, arguments.end());  // as they are: msb-image parses them
      arguments.erase(command + 1, arguments.end());
    } else if (const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
               dashes != arguments.end()) {
      exe_.arguments.assign(dashes + 1, arguments.end());
      arguments.erase(dashes, arguments.end());
    }
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    try {
      app_.parse(arguments);
      if (app_.get_subcommands().empty() && !version_) throw CLI::CallForHelp();
      if (auto* options = std::get_if<ExeOptions>(&line_.command)) return FinishExe(*options);
      return line_;
    } catch (const CLI::ParseError& error) {
      std::ostringstream out, complaint;
      const int code = app_.exit(error, out, complaint);
      if (code == 0) return Leave{out.str(), 0};
      const bool extras = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
      const char* hint = exe && extras ? "\nWhat is meant for the program stands after --" : "";
      return Leave{"msb: error: " + std::string(error.what()) + hint + "\nTry: msb " +
                       (exe ? "exe " : "") + "--help\n",
                   exe ? kOwnFailure : kUsage};
    }
  }

 private:
  void AddLevels() {
    const auto level = [this](const char* flag, base::LogLevel value, const char* text) {
      app_.add_flag_callback(
              flag, [this, value] { line_.log_level = value; }, text)
          ->group("Messages");
    };
    level("--error", base::LogLevel::kError, "Print errors only");
    level("--warn", base::LogLevel::kWarning, "… and warnings (default)");
    level("--info", base::LogLevel::kInfo, "… and what is done");
    level("--debug", base::LogLevel::kDebug, "… and when, by phase");
    level("--trace", base::LogLevel::kTrace, "Print everything");
    app_.fallthrough();  // they may stand after the command, too
  }

  void AddExe() {
    CLI::App* exe =
        app_.add_subcommand("exe",
                            "Run a program of an image in a temporary sandbox, gone at exit\n"
                            "(also: x, msx). Arguments after -- are appended to the program.");
    exe->alias("x");
    exe->add_option("IMAGE", exe_text_.positional_image, "Name of an image (msb image ls)");
    exe->add_option("-i,--image", exe_text_.image, "The same, as an option");
    exe->add_option("-e,-x,--exec", exe_.exec,
                    "Program to run instead of the image's (one word, found by PATH)");
    exe->add_option("--cpus", exe_.cpus, "Virtual CPUs (default 1)")->check(CLI::Range(1, 256));
    exe->add_option("--memory", exe_text_.memory, "MiB, or with K, M, G (default 1024)")
        ->check(Checked(
            [](const std::string& t) { return InRange(t, kMinMemory, kMaxMemory, "memory"); },
            "SIZE"));
    exe->add_option("--disk", exe_text_.disk, "Writable disk: a hard limit (default 8G)")
        ->check(Checked(
            [](const std::string& t) {
              return InRange(t, image::kMinDiskBytes, image::kMaxDiskBytes, "disk");
            },
            "SIZE"));
    exe->add_option("--env", exe_text_.env, "NAME=VALUE, over the image's; may be repeated")
        ->allow_extra_args(false)
        ->check(Checked([](const std::string& t) { return ParseEnv(t); }, "NAME=VALUE"));
    exe->add_option("--workdir", exe_.workdir, "Directory to start in (default: the image's, or /)")
        ->check(Checked(
            [](const std::string& t) -> base::Status {
              if (t.starts_with('/')) return {};
              return base::Fail(base::ErrorCode::kInvalid,
                                "workdir \"{}\" is not absolute: it must start with /", t);
            },
            "PATH"));
    exe->add_option("--user", exe_.user,
                    "User or user:group, names or numbers (default: the image's, or root)");
    exe->add_option("--engine", exe_.engine, "auto or uml (kvm: not in this version)")
        ->transform(CLI::Transformer(std::map<std::string, Engine>{
            {"auto", Engine::kAuto}, {"uml", Engine::kUml}, {"kvm", Engine::kKvm}}))
        ->option_text("ENGINE");
    exe->callback([this] { line_.command = exe_; });
  }

  void AddImage() {
    app_.add_subcommand("image", "Load, import, list, inspect, check and remove images")
        ->callback([this] { line_.command = image_; });
  }

  std::variant<CommandLine, Leave> FinishExe(ExeOptions& exe) {
    if (exe_text_.image.empty() == exe_text_.positional_image.empty()) {
      return Leave{exe_text_.image.empty()
                       ? "msb: error: which image? Usage: msb exe IMAGE [OPTIONS] [-- ARGUMENTS]\n"
                       : "msb: error: the image is given twice, as IMAGE and by --image\n",
                   kOwnFailure};
    }
    if (app_.get_subcommand("exe")->count("--exec") > 0 && exe.exec.empty()) {
      return Leave{"msb: error: --exec names no program\n", kOwnFailure};
    }
    exe.image = exe_text_.image + exe_text_.positional_image;
    exe.memory_bytes = *ParseSize(exe_text_.memory);
    exe.disk_bytes = *ParseSize(exe_text_.disk);
    for (const std::string& entry : exe_text_.env) exe.env.emplace_back(entry);
    return line_;
  }

  CLI::App app_;
  CommandLine line_;
  bool version_ = false;
  ExeText exe_text_;
  ExeOptions exe_;
  ImageOptions image_;
  DoctorOptions doctor_;
};

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::variant<CommandLine, Leave> ParseCommandLine(int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (argc > 0 && BaseName(argv[0]) == "msx") arguments.insert(arguments.begin(), "exe");
  return Parser().Parse(std::move(arguments));
}

}  // namespace msb::cli
