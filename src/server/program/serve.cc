#include "src/server/program/serve.h"

#include <malloc.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <optional>

#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/server/auth/authenticator.h"
#include "src/server/auth/server_key.h"
#include "src/server/engine.h"
#include "src/server/http/peer_check.h"
#include "src/server/http/server.h"
#include "src/server/loop.h"
#include "src/server/mcp/http.h"
#include "src/server/mcp/tools.h"
#include "src/server/program/server_log.h"
#include "src/server/routes.h"

namespace msb::server {
namespace {

// Buffers up to this size, which is more than a piece of a stream takes, are kept for the next one:
// the kernel takes as long to give and clear their pages as all else that is done with them.
constexpr int kKeptBuffer = 2 << 20;
constexpr auto kDrain = std::chrono::seconds(10);  // what running requests have to end in

Async<void> EndOnSignal(Loop& loop, http::Server& server, mcp::Endpoint& mcp) {
  boost::asio::signal_set signals(loop.executor(), SIGTERM, SIGINT);
  (void)co_await signals.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  // A second one ends it at once.
  signals.clear();
  ::signal(SIGTERM, SIG_DFL);
  ::signal(SIGINT, SIG_DFL);
  mcp.Close();
  if (const uint64_t running = server.site().counters->requests_running; running > 0) {
    LOG(kWarning, "waiting up to {} s for {} requests to end; a second signal ends them now",
        kDrain.count(), running);
  }
  co_await server.Drain(Clock::now() + kDrain);
  loop.io().stop();
}

std::string UrlOf(const http::Endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return fmt::format(fmt::runtime(endpoint.address().is_v6() ? "http://[{}]:{}" : "http://{}:{}"),
                     address, endpoint.port());
}

// Where the requests are logged; standard error is the server's log if it is detached.
base::Result<std::unique_ptr<http::AccessLog>> OpenLog(const ServerOptions& options) {
  if (!options.detached) return std::make_unique<http::FileAccessLog>(STDERR_FILENO);
  auto log = TRY(ServerLog::Open(TRY(base::OpenHome(options.home, base::HomeMode::kMustExist))));
  base::ConfigureLog({.level = base::LogLevel::kInfo, .json = true, .program = "msb-server"});
  return std::make_unique<ServerLog>(std::move(log));
}

base::Result<Caller> CallerOf(const Authenticator& authenticate, const http::Request& request) {
  auto caller = authenticate(request);
  if (!caller) return base::Fail(base::ErrorCode::kDenied, "{}", caller.error().message);
  return *std::move(caller);
}

void AddMcp(mcp::Endpoint& mcp, http::Router& router) {
  const http::Handler handle = [&mcp](http::Exchange& exchange) { return mcp.Handle(exchange); };
  router.Add("POST", "/mcp", http::RequestType::kJson, handle);
  router.Add("GET", "/mcp", http::RequestType::kAny, handle);
  router.Add("DELETE", "/mcp", http::RequestType::kAny, handle);
}

}  // namespace

base::Status Serve(const ServerOptions& options, const Ready& ready) {
  ::mallopt(M_MMAP_THRESHOLD, kKeptBuffer);
  ::mallopt(M_TRIM_THRESHOLD, 2 * kKeptBuffer);
  ::signal(SIGCHLD, SIG_IGN);  // monitors are children, and outlive whoever started them
  const base::UniqueFd home = TRY(base::OpenHome(options.home, base::HomeMode::kMustExist));
  const PidFile pid_file = TRY(PidFile::Take(home.get()));
  const std::unique_ptr<http::AccessLog> log = TRY(OpenLog(options));
  const std::unique_ptr<Loop> loop = TRY(Loop::Create());
  const std::unique_ptr<Engine> engine = TRY(Engine::Open(*loop, options.home, options.directory));
  http::Counters counters;
  http::MemoryBudget budget;
  const Authenticator authenticate(options.key);
  Routes routes(*loop, *engine, counters, authenticate);
  mcp::Endpoint mcp(loop->executor(), mcp::MakeFeatures(*engine, {.version = MSB_VERSION}),
                    [&](const http::Request& request) { return CallerOf(authenticate, request); },
                    {.parser = loop->Others(Loop::Lane::kLook)});

  http::Site site;
  site.policy = options.policy;
  site.access_log = log.get();
  site.counters = &counters;
  site.budget = &budget;
  routes.AddTo(site.router);
  AddMcp(mcp, site.router);
  http::Server server(loop->io(), std::move(site),
                      options.own_user_only ? http::Admit(http::AdmitOwnUser) : http::Admit());

  ServerRecord record;
  record.pid = ::getpid();
  record.directory = options.directory;
  record.started_s = ::time(nullptr);
  if (options.detached) record.log = options.home + "/" + kLogFile;
  for (const std::string& host : options.hosts) {
    record.urls.push_back(UrlOf(TRY(server.Listen(host, options.port))));
  }
  TRY(pid_file.Write(record));
  // A start that failed until here has voided nobody's token; and nothing is answered before.
  if (options.key_is_new) TRY(StoreKey(home.get(), *options.key));
  loop->Spawn(EndOnSignal(*loop, server, mcp));
  LOG(kInfo, "listening on {}", fmt::join(record.urls, ", "));
  ready(fmt::format("Listening on {}", fmt::join(record.urls, ", ")));
  loop->io().run();
  // What still waits holds on to what would be destroyed before it. Nothing is left to be done: the
  // sandboxes are their monitors', and the lock of server.pid ends with this process.
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace msb::server
