// Routes: what the server answers on which path: the API's side of http::Router.
//
// Owned by the server; one thread.
#pragma once

#include <expected>
#include <functional>

#include "src/server/auth/caller.h"
#include "src/server/engine.h"
#include "src/server/errors.h"
#include "src/server/http/counters.h"
#include "src/server/http/router.h"
#include "src/server/metrics.h"
#include "src/server/rpc/endpoint.h"
#include "src/server/rpc/raw_files.h"

namespace msb::server {

// Who makes a request.
using Authenticate = std::function<std::expected<Caller, ApiError>(const http::Request&)>;

class Routes {
 public:
  Routes(Loop& loop, Engine& engine, const http::Counters& http, Authenticate authenticate);

  void AddTo(http::Router& router);

 private:
  using Handle = Async<void> (Routes::*)(http::Exchange& exchange, const Caller& caller);
  // A handler for callers who have said who they are; others are told how.
  http::Handler ForCallers(Handle handle);
  Async<void> Serve(http::Exchange& exchange, Handle handle);
  Async<void> Rpc(http::Exchange& exchange, const Caller& caller);
  Async<void> WebSocket(http::Exchange& exchange, const Caller& caller);
  Async<void> GetFile(http::Exchange& exchange, const Caller& caller);
  Async<void> PutFile(http::Exchange& exchange, const Caller& caller);
  Async<void> Metrics(http::Exchange& exchange, const Caller& caller);

  Engine& engine_;
  const http::Counters& http_;
  Authenticate authenticate_;
  CallCounters calls_;
  rpc::Endpoint rpc_;
  rpc::RawFiles files_;
  const double started_s_;
};

}  // namespace msb::server
