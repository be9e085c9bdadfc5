// Connection: one client's requests, one after the other. RFC 9112, 9.
//
// Applies the rules of the whole server (head, policy, routes), answers what they refuse, and gives
// the rest to the handlers. Lives as long as its coroutine; one thread.
#pragma once

#include <memory>
#include <string>

#include "src/server/http/access_log.h"
#include "src/server/http/counters.h"
#include "src/server/http/limits.h"
#include "src/server/http/memory_budget.h"
#include "src/server/http/policy.h"
#include "src/server/http/router.h"
#include "src/server/http/served_exchange.h"
#include "src/server/http/transport.h"

namespace msb::server::http {

// What all connections share; outlives them.
struct Site {
  ConnectionLimits limits;
  Policy policy;
  Router router;
  AccessLog* access_log = nullptr;  // none: nothing is logged
  Counters* counters = nullptr;     // never null
  MemoryBudget* budget = nullptr;   // never null
};

class Connection {
 public:
  Connection(const Site& site, boost::asio::ip::tcp::socket socket, std::string id);
  Connection(const Connection&) = delete;

  // Until the client has gone, or is to go. Once.
  Async<void> Serve();

  void FinishSoon();  // after the running request; at once if there is none
  void Cancel();      // and that one has nobody who waits for it
  void Abort();

  // Whether it never had a request with a key (or what stands for one): it makes room for others.
  bool is_stranger() const;
  bool aborted() const { return aborted_; }
  // No request of it runs, and since when.
  bool is_idle() const { return running_ == nullptr; }
  Clock::time_point idle_since() const { return idle_since_; }

 private:
  // Absent: there is no further request. A Refusal ends the connection.
  Async<std::optional<Accepted<Head>>> ReadHead();
  Async<bool> ServeOne(Head head);
  Async<void> Answer(ServedExchange& exchange);
  Async<void> RefuseHead(Refusal refusal);
  Async<void> Linger();
  std::string NextId();
  void Record(Clock::time_point started, const Request& request, int status,
              const ServedExchange* exchange);

  const Site& site_;
  std::shared_ptr<Transport> transport_;
  std::string peer_;
  std::string local_address_;
  std::string id_;  // of the connection: what its requests' ids begin with
  uint64_t requests_ = 0;
  uint64_t counted_in_ = 0;  // bytes of the requests that were recorded
  uint64_t counted_out_ = 0;
  bool finishing_ = false;
  bool cancelled_ = false;
  bool aborted_ = false;
  bool known_ = false;  // had a key
  Clock::time_point idle_since_ = Clock::now();
  ServedExchange* running_ = nullptr;
};

}  // namespace msb::server::http
