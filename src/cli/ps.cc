// msb ps: the sandboxes of this user.
#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "src/base/json.h"
#include "src/cli/commands.h"
#include "src/cli/exit_codes.h"
#include "src/sandbox/catalog.h"

namespace msb::cli {
namespace {

// What --json prints of each: names and units stay as they are.
struct Row {
  std::string name;
  std::string id;
  std::string image;
  sandbox::Phase status = sandbox::Phase::kStarting;
  std::string engine;
  std::vector<base::Bytes> command;
  uint64_t memory_bytes = 0;
  bool detached = false;
  int64_t created_ms = 0;
  sandbox::Limits limits;
  std::optional<int64_t> ended_ms;
  std::optional<int32_t> program_exit_code;  // of one that went on without its program
  std::optional<int32_t> exit_code;
  std::optional<std::string> end;  // why it ended
  int32_t monitor_pid = 0;
};
BOOST_DESCRIBE_STRUCT(Row, (),
                      (name, id, image, status, engine, command, memory_bytes, detached, created_ms,
                       limits, ended_ms, program_exit_code, exit_code, end, monitor_pid))

Row RowOf(const sandbox::State& state) {
  Row row;
  row.name = state.name;
  row.id = state.id;
  row.image = state.image;
  row.status = state.phase;
  row.engine = state.engine;
  if (state.program) row.command = state.program->argv;
  if (state.program_end) row.program_exit_code = state.program_end->exit_code;
  row.memory_bytes = state.memory_bytes;
  row.detached = state.detached;
  row.created_ms = state.created_ms;
  row.limits = state.limits;
  if (state.phase == sandbox::Phase::kEnded) {
    if (state.ended_ms != 0) row.ended_ms = state.ended_ms;
    if (state.ended) row.exit_code = state.ended->exit_code;
    if (state.ended) row.end = state.ended->message;
  } else {
    row.monitor_pid = state.monitor.pid;
  }
  return row;
}

std::string Age(int64_t since_ms) {
  const int64_t seconds = std::max<int64_t>(0, (sandbox::WallClockMs() - since_ms) / 1000);
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} d", seconds / 86400);
}

std::string Status(const Row& row) {
  if (row.status == sandbox::Phase::kPaused) return "paused: host disk full";
  if (row.status != sandbox::Phase::kEnded) {
    const base::json::Value name = base::json::Encode(row.status);
    return fmt::format("{} {}", std::string_view(name.as_string()), Age(row.created_ms));
  }
  const std::string code = fmt::format("ended ({})", row.exit_code.value_or(kOwnFailure));
  return row.ended_ms ? fmt::format("{} {} ago", code, Age(*row.ended_ms)) : code;
}

std::string Command(const Row& row) {
  constexpr size_t kMost = 40;
  std::string text;
  for (const base::Bytes& argument : row.command) {
    if (!text.empty()) text += ' ';
    text += argument.data.substr(0, kMost);
    if (text.size() > kMost) break;
  }
  text = base::EscapeForTerminal(text);
  return text.size() > kMost ? text.substr(0, kMost - 3) + "..." : text;
}

void PrintTable(const std::vector<Row>& rows) {
  using Cells = std::array<std::string, 4>;
  std::vector<Cells> lines = {{"NAME", "IMAGE", "STATUS", "COMMAND"}};
  for (const Row& row : rows) {
    lines.push_back({row.name, base::EscapeForTerminal(row.image), Status(row), Command(row)});
  }
  std::array<size_t, 4> widths = {};
  for (const Cells& cells : lines) {
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  for (const Cells& cells : lines) {
    std::string text;
    for (size_t i = 0; i + 1 < cells.size(); ++i) {
      text += fmt::format("{:<{}}  ", cells[i], widths[i]);
    }
    std::puts((text + cells.back()).c_str());
  }
}

base::Status Ps(const PsOptions& options) {
  std::vector<Row> rows;
  for (const sandbox::State& state : TRY(sandbox::ListSandboxes(options.all))) {
    rows.push_back(RowOf(state));
  }
  if (options.json) {
    std::puts(base::json::WritePretty(base::json::Encode(rows)).c_str());
  } else {
    PrintTable(rows);
  }
  return {};
}

}  // namespace

int RunPs(const PsOptions& options) {
  const base::Status done = Ps(options);
  return done ? 0 : Complain(done.error().message(), kFailure);
}

}  // namespace msb::cli
