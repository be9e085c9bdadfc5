// msb mcp: the Model Context Protocol on standard input and output, for a client that starts it.
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>

#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/server/engine.h"
#include "src/server/loop.h"
#include "src/server/mcp/stdio.h"
#include "src/server/mcp/tools.h"
#include "src/server/program/commands.h"

namespace msb::server {
namespace {

// Whoever starts it could run msb as well.
const Caller kUser = {.key_id = "stdio"};

Async<void> StopOnSignal(Loop& loop, mcp::StdioTransport& transport) {
  boost::asio::signal_set signals(loop.executor(), SIGTERM, SIGINT, SIGHUP);
  (void)co_await signals.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  transport.Stop();
}

Async<void> Converse(Loop& loop, mcp::StdioTransport& transport, Engine& engine,
                     mcp::StartedSandboxes& started, base::Status& result) {
  result = co_await transport.Run();
  co_await mcp::StopStarted(engine, started, kUser);
  loop.io().stop();
}

}  // namespace

base::Status RunMcp(const McpOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_IGN);  // as in Serve
  base::RaiseOpenFileLimit();
  const std::string home = TRY(base::ResolveHome());
  TRY(base::OpenHome(home, base::HomeMode::kCreate));
  const std::string directory =
      options.directory.empty() ? home + "/namespaces" : options.directory;
  const std::unique_ptr<Loop> loop = TRY(Loop::Create());
  const std::unique_ptr<Engine> engine = TRY(Engine::Open(*loop, home, directory));
  mcp::StartedSandboxes started;
  base::UniqueFd input = TRY(base::Duplicate(STDIN_FILENO));
  base::UniqueFd output = TRY(base::Duplicate(STDOUT_FILENO));
  mcp::StdioTransport transport(
      loop->executor(), mcp::MakeFeatures(*engine, {.version = MSB_VERSION, .started = &started}),
      kUser, std::move(input), std::move(output));
  base::Status result;
  loop->Spawn(StopOnSignal(*loop, transport));
  loop->Spawn(Converse(*loop, transport, *engine, started, result));
  loop->io().run();
  return result;
}

}  // namespace msb::server
