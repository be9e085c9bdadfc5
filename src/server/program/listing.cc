// msb server status, msb server list: from what server and sandboxes wrote down, so that neither a
// key nor a running server is needed.
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>

#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/sandbox/catalog.h"
#include "src/sandbox/names.h"
#include "src/server/program/commands.h"
#include "src/server/program/own_sandboxes.h"

namespace msb::server {
namespace {

// What --json prints of each: names stay as they are.
struct Row {
  std::string namespace_;
  std::string name;
  std::string status = "stopped";
  std::string image;
  std::string id;
  uint64_t memory_bytes = 0;
  std::optional<int64_t> created_ms;
};
BOOST_DESCRIBE_STRUCT(Row, (), (namespace_, name, status, image, id, memory_bytes, created_ms))

struct StatusReport {
  bool running = false;
  std::optional<ServerRecord> server;
  std::vector<Row> sandboxes;
};
BOOST_DESCRIBE_STRUCT(StatusReport, (), (running, server, sandboxes))

// What a run of the sandbox adds to its row.
void Add(const sandbox::State& state, Row& row) {
  row.status = std::string(std::string_view(base::json::Encode(state.phase).as_string()));
  row.image = state.image;
  row.id = state.id;
  row.memory_bytes = state.memory_bytes;
  row.created_ms = state.created_ms;
}

// `stopped_too`: those that have a disk only, as well.
base::Result<std::map<SandboxKey, Row>> Collect(const FoundServer& server, const std::string& home,
                                                bool stopped_too) {
  std::map<SandboxKey, Row> rows;
  const auto storage = TRY(OpenOwnStorage(server, home));
  if (!storage) return rows;
  if (stopped_too) {
    for (const SandboxKey& key : TRY(storage->List())) {
      Row& row = rows[key];
      if (const auto stored = storage->Load(key); stored) {
        row.image = stored->config.image.value_or("");
      }
    }
  }
  for (const sandbox::State& state : TRY(sandbox::ListSandboxes(/*ended_too=*/false))) {
    if (const auto key = OwnKeyOf(*storage, state)) Add(state, rows[*key]);
  }
  return rows;
}

std::vector<Row> Select(std::map<SandboxKey, Row> all, const ListOptions& options) {
  std::vector<Row> rows;
  for (auto& [key, row] : all) {
    if (options.namespace_ != "*" && options.namespace_ != key.namespace_) continue;
    const bool named = std::ranges::any_of(options.names, [&](const std::string& name) {
      return name == key.name || name == key.FullName();
    });
    if (!options.names.empty() && !named) continue;
    row.namespace_ = key.namespace_;
    row.name = key.name;
    rows.push_back(std::move(row));
  }
  return rows;
}

// A name that was asked for and is nowhere is an error.
base::Status CheckNames(const std::vector<Row>& rows, const ListOptions& options) {
  for (const std::string& name : options.names) {
    const bool there = std::ranges::any_of(rows, [&](const Row& row) {
      return row.name == name || sandbox::FullName(row.namespace_, row.name) == name;
    });
    if (there) continue;
    return base::Fail(base::ErrorCode::kNotFound,
                      "no sandbox {} of the server's runs: msb server list shows all",
                      base::EscapeForTerminal(name));
  }
  return {};
}

void PrintTable(const std::vector<Row>& rows) {
  using Cells = std::array<std::string, 4>;
  std::vector<Cells> lines = {{"NAMESPACE", "NAME", "STATUS", "IMAGE"}};
  for (const Row& row : rows) {
    lines.push_back({row.namespace_, row.name, row.status, base::EscapeForTerminal(row.image)});
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

}  // namespace

base::Result<bool> RunStatus(const ListOptions& options) {
  const std::string home = TRY(base::ResolveHome());
  const FoundServer server = TRY(FindOwnServer(home));
  StatusReport report;
  report.running = server.running;
  if (server.running) report.server = server.record;
  report.sandboxes = Select(TRY(Collect(server, home, /*stopped_too=*/false)), options);
  TRY(CheckNames(report.sandboxes, options));
  if (options.json) {
    std::puts(base::json::WritePretty(base::json::Encode(report)).c_str());
    return server.running;
  }
  if (server.running) {
    std::puts(fmt::format("The server runs: process {}, {}", server.record.pid,
                          fmt::join(server.record.urls, ", "))
                  .c_str());
  } else {
    std::puts("The server does not run (msb server start)");
  }
  if (!report.sandboxes.empty()) PrintTable(report.sandboxes);
  return server.running;
}

base::Status RunList(const ListOptions& options) {
  const std::string home = TRY(base::ResolveHome());
  const FoundServer server = TRY(FindOwnServer(home));
  const auto rows = Select(TRY(Collect(server, home, /*stopped_too=*/true)), options);
  if (options.json) {
    std::puts(base::json::WritePretty(base::json::Encode(rows)).c_str());
  } else {
    PrintTable(rows);
  }
  return {};
}

}  // namespace msb::server
