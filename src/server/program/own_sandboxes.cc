#include "src/server/program/own_sandboxes.h"

#include "src/base/bytes.h"
#include "src/base/paths.h"
#include "src/sandbox/catalog.h"

namespace msb::server {

using base::ErrorCode;

base::Result<FoundServer> FindOwnServer(const std::string& home) {
  const auto directory = base::OpenHome(home, base::HomeMode::kMustExist);
  auto found = directory ? FindServer(directory->get()) : directory.error();
  if (!found && found.error().code() == ErrorCode::kNotFound) return FoundServer{};
  return found;
}

base::Result<std::optional<Storage>> OpenOwnStorage(const FoundServer& server,
                                                    const std::string& home) {
  const std::string& given = server.record.directory;
  auto storage = Storage::OpenExisting(given.empty() ? home + "/namespaces" : given);
  if (storage) return std::optional<Storage>(*std::move(storage));
  if (storage.error().code() == ErrorCode::kNotFound) return std::optional<Storage>();
  return storage.error();
}

std::optional<SandboxKey> OwnKeyOf(const Storage& storage, const sandbox::State& state) {
  const size_t slash = state.name.find('/');
  if (slash == std::string::npos) return std::nullopt;  // of msb exe, not a server's
  SandboxKey key{state.name.substr(0, slash), state.name.substr(slash + 1)};
  if (state.disk_path != storage.DiskPathOf(key)) return std::nullopt;
  return key;
}

namespace {

base::Result<SandboxKey> ParseKey(const std::string& name_space, const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return {{name_space.empty() ? "default" : name_space, name}};
  SandboxKey key{name.substr(0, slash), name.substr(slash + 1)};
  if (name_space.empty() || name_space == key.namespace_) return key;
  return base::Fail(
      ErrorCode::kInvalid, "{} is in namespace {}, but --namespace says {}: leave one of them out",
      base::EscapeForTerminal(name), base::EscapeForTerminal(key.namespace_), name_space);
}

}  // namespace

base::Result<SandboxKey> FindOwn(const std::string& name_space, const std::string& name) {
  const SandboxKey key = TRY(ParseKey(name_space, name));
  const std::string home = TRY(base::ResolveHome());
  const auto storage = TRY(OpenOwnStorage(TRY(FindOwnServer(home)), home));
  const auto found = sandbox::FindSandbox(key.FullName());
  if (found && storage && OwnKeyOf(*storage, found->state)) return key;
  return base::Fail(ErrorCode::kNotFound,
                    "your server has no sandbox {} that runs, or has run since this host was "
                    "started: `msb server list` shows all that it has",
                    base::EscapeForTerminal(key.FullName()));
}

}  // namespace msb::server
