// Server: listens, accepts, and knows every connection until it ends.
//
// Owned by main's wiring; outlives the io_context's run. One thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <functional>
#include <list>
#include <string>

#include "src/base/result.h"
#include "src/server/async.h"
#include "src/server/http/connection.h"

namespace msb::server::http {

using Endpoint = boost::asio::ip::tcp::endpoint;
// Whether a peer may speak at all, asked before a byte of it is read. An Error: it is closed.
using Admit = std::function<base::Status(const Endpoint& peer, const Endpoint& local)>;

class Server {
 public:
  Server(boost::asio::io_context& context, Site site, Admit admit);
  Server(const Server&) = delete;

  // Accepts on this address from now on; several times for several. Where it is: port 0 is any.
  // kBusy if the port is taken.
  base::Result<Endpoint> Listen(const std::string& address, uint16_t port);

  // Accepts no more, lets running requests end, cancels at `deadline` what still runs, and closes.
  // Returns when all connections have ended, or a second after the deadline.
  Async<void> Drain(Clock::time_point deadline);

  const Site& site() const { return site_; }

 private:
  Async<void> Accept(std::shared_ptr<boost::asio::ip::tcp::acceptor> acceptor);
  void Take(boost::asio::ip::tcp::socket socket);
  Async<void> Serve(boost::asio::ip::tcp::socket socket);
  Async<void> WaitForEnds(Clock::time_point until);
  bool MakeRoom();
  void RefuseTooMany(boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& context_;
  Site site_;
  Admit admit_;
  std::string run_id_;  // what the ids of this run's connections begin with
  uint64_t last_connection_ = 0;
  bool draining_ = false;
  std::list<std::shared_ptr<boost::asio::ip::tcp::acceptor>> acceptors_;
  std::list<Connection*> connections_;
  Event ended_;  // a connection has; set until somebody who waits clears it
};

}  // namespace msb::server::http
