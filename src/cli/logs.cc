// msb logs: what a detached sandbox's program wrote.
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "src/base/event_loop.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"
#include "src/sandbox/client.h"
#include "src/sandbox/program_log.h"

namespace msb::cli {
namespace {

// The last `lines` lines: a log entry may hold a part of one, or many.
class Tail {
 public:
  struct Piece {
    sandbox::LogStream stream;
    std::string text;
  };

  explicit Tail(uint64_t lines) : lines_(lines) {}

  std::vector<Piece> Of(std::vector<Piece> pieces) const {
    uint64_t left = lines_;
    bool at_end = true;  // a newline at the very end ends the last line, it begins none
    for (size_t i = pieces.size(); i-- > 0;) {
      std::string& text = pieces[i].text;
      for (size_t at = text.size(); at-- > 0;) {
        if (text[at] == '\n' && !at_end && --left == 0) {
          text.erase(0, at + 1);
          pieces.erase(pieces.begin(), pieces.begin() + static_cast<ptrdiff_t>(i));
          return pieces;
        }
        if (left == 0) return {};
        at_end = false;
      }
    }
    return pieces;
  }

 private:
  uint64_t lines_;
};

class Logs {
 public:
  Logs(const LogsOptions& options, const sandbox::FoundSandbox& found)
      : options_(options), found_(found), reader_(found.directory.get()) {}

  base::Status Run() {
    if (!options_.follow || IsComplete(found_.state)) return PrintFirst();
    auto loop = TRY(base::EventLoop::Create());
    // Watched before it is read, so that nothing falls between the two.
    const base::UniqueFd changes = TRY(base::WatchDirectory(found_.directory.get()));
    base::Status failed;
    auto client = sandbox::Client::Connect(
        *loop, found_,
        {.on_stopping = {},
         .on_resumed = {},
         .on_limits = {},
         .on_ended = [&](const auto&) { loop->Stop(); },
         .on_failure =
             [&](const agent::Failure& failure) {
               failed = base::Fail(base::ErrorCode::kLimit, "sandbox {} cannot be followed: {}",
                                   found_.state.name, failure.message.data);
               loop->Stop();
             }});
    TRY(PrintFirst());
    if (!client) {
      const auto now = sandbox::FindSandbox(found_.state.id);
      if (now && now->state.phase != sandbox::Phase::kEnded) return client.error();
      return PrintNew();  // it has just ended
    }
    const base::Watch watch = TRY(loop->Add(changes.get(), EPOLLIN, [&](uint32_t) {
      base::DrainDirectoryEvents(changes.get());
      failed = PrintNew();
      if (!failed || WasCompleted()) loop->Stop();
    }));
    if (WasCompleted()) return PrintNew();
    TRY(loop->Run());
    TRY(std::move(failed));
    return PrintNew();
  }

 private:
  static bool IsComplete(const sandbox::State& state) {
    return state.phase == sandbox::Phase::kEnded || state.program_end;
  }

  // By the end of a program that its sandbox outlives: other ends are heard of.
  bool WasCompleted() const {
    if (found_.state.ends_with_program) return false;
    const auto state = sandbox::ReadState(found_.directory.get());
    return !state || IsComplete(*state);
  }

  base::Status PrintFirst() {
    if (!options_.tail) return PrintNew();
    std::vector<Tail::Piece> pieces;
    std::vector<std::string> raw;
    TRY(reader_.ReadNew(
        [&](const sandbox::LogEntry& entry, std::string_view line) {
          if (options_.json) raw.emplace_back(line);
          pieces.push_back({entry.stream, entry.text.data});
        },
        [] {}));
    if (options_.json) {
      const size_t from = raw.size() - std::min<size_t>(raw.size(), *options_.tail);
      for (size_t i = from; i < raw.size(); ++i) TRY(base::WriteFull(STDOUT_FILENO, raw[i] + "\n"));
      return {};
    }
    for (const Tail::Piece& piece : Tail(*options_.tail).Of(std::move(pieces))) {
      TRY(Print(piece.stream, piece.text));
    }
    return {};
  }

  base::Status PrintNew() {
    base::Status failed;
    TRY(reader_.ReadNew(
        [&](const sandbox::LogEntry& entry, std::string_view line) {
          if (failed) failed = PrintEntry(entry, line);
        },
        [] {
          (void)base::WriteFull(STDERR_FILENO,
                                "msb: warning: output may be missing here: the log moved on "
                                "faster than it was read\n");
        }));
    return failed;
  }

  base::Status PrintEntry(const sandbox::LogEntry& entry, std::string_view line) {
    if (options_.json) return base::WriteFull(STDOUT_FILENO, std::string(line) + "\n");
    if (entry.lost) {
      (void)base::WriteFull(STDERR_FILENO,
                            fmt::format("msb: warning: {} bytes of output are missing here: there "
                                        "was no room for the log\n",
                                        *entry.lost));
    }
    return Print(entry.stream, entry.text.data);
  }

  static base::Status Print(sandbox::LogStream stream, std::string_view text) {
    const int fd = stream == sandbox::LogStream::kStdout ? STDOUT_FILENO : STDERR_FILENO;
    // On a terminal the program's control characters are shown, not obeyed.
    return base::WriteFull(
        fd, ::isatty(fd) == 1 ? base::EscapeLinesForTerminal(text) : std::string(text));
  }

  const LogsOptions& options_;
  const sandbox::FoundSandbox& found_;
  sandbox::LogReader reader_;
};

base::Status PrintLogs(const LogsOptions& options) {
  const sandbox::FoundSandbox found = TRY(sandbox::FindSandbox(options.sandbox));
  if (!found.state.detached) {
    return base::Fail(base::ErrorCode::kInvalid,
                      "sandbox {} has no log: its output goes to whoever started it (with -d it "
                      "is kept)",
                      found.state.name);
  }
  if (!found.state.program) {
    return base::Fail(base::ErrorCode::kInvalid,
                      "sandbox {} has no log: it has no program of its own (the output of msb exec "
                      "goes to whoever calls it)",
                      found.state.name);
  }
  return Logs(options, found).Run();
}

}  // namespace

int RunLogs(const LogsOptions& options) {
  const base::Status done = PrintLogs(options);
  return done ? 0 : Complain(done.error().message(), kFailure);
}

}  // namespace msb::cli
