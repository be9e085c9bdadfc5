// RequestBody: the content of one request's body, with whichever framing. One thread.
#pragma once

#include <span>
#include <string>

#include "src/base/result.h"
#include "src/server/async.h"
#include "src/server/http/chunked.h"
#include "src/server/http/head.h"
#include "src/server/http/memory_budget.h"
#include "src/server/http/pace.h"
#include "src/server/http/transport.h"

namespace msb::server::http {

class RequestBody {
 public:
  // All three outlive it.
  RequestBody(Transport& transport, const Head& head, const ConnectionLimits& limits);

  // 0: its end. kProtocol for a framing that is wrong; afterwards the connection is of no use.
  Async<base::Result<size_t>> ReadSome(std::span<char> buffer);
  // kLimit if it is longer than `limit`; kBusy if `hold`, which takes what comes, cannot.
  Async<base::Result<std::string>> ReadAll(size_t limit, MemoryBudget::Hold& hold);
  bool done() const { return head_.chunked ? decoder_.done() : left_ == 0; }
  // Whether the rest is here already and need only be dropped; drops it.
  bool DropBuffered();

 private:
  Async<base::Status> Begin();  // asks for it, if the client waits for that
  Async<base::Result<size_t>> ReadPlain(std::span<char> buffer);
  Async<base::Result<size_t>> ReadChunked(std::span<char> buffer);

  Transport& transport_;
  const Head& head_;
  const ConnectionLimits& limits_;
  ChunkDecoder decoder_;
  Pace pace_;
  uint64_t left_;
  bool begun_ = false;
};

}  // namespace msb::server::http
