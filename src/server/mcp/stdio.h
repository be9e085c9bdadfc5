// Standard input and output as a transport: a message a line, one client, one session (`msb mcp`).
//
// Made by main, one thread. Nothing but messages goes to the output. A client that does not read
// makes us keep a bounded amount: beyond it only answers are kept, and input is not read on.
//
// modelcontextprotocol.io/specification, basic/transports, stdio.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <deque>
#include <memory>
#include <string>

#include "src/base/unique_fd.h"
#include "src/server/async.h"
#include "src/server/auth/caller.h"
#include "src/server/mcp/features.h"
#include "src/server/mcp/session.h"

namespace msb::server::mcp {

class StdioTransport {
 public:
  static constexpr size_t kMaxLineBytes = 16 << 20;
  static constexpr size_t kMaxUnsentBytes = 4 << 20;

  // Descriptors that are pipes, sockets, terminals or files; made non-blocking while this lives.
  StdioTransport(boost::asio::any_io_executor executor, std::shared_ptr<const Features> features,
                 Caller caller, base::UniqueFd input, base::UniqueFd output);
  ~StdioTransport();
  StdioTransport(const StdioTransport&) = delete;

  // Until the input ends and what was asked for is answered, or the output is closed, or Stop.
  // kLimit if a line is too long.
  Async<base::Status> Run();
  // Calls are cancelled, and Run returns.
  void Stop();

 private:
  class Outlet;

  class BatchOutlet;

  Async<base::Status> ReadLines();
  void Take(std::string_view line);
  void TakeBatch(Incoming incoming);

  boost::asio::any_io_executor executor_;
  Caller caller_;
  boost::asio::posix::stream_descriptor input_;
  const int input_flags_;  // as they were given
  bool stopped_ = false;
  std::shared_ptr<Outlet> outlet_;
  std::shared_ptr<Session> session_;
};

}  // namespace msb::server::mcp
