// RawFiles: files of any size as HTTP bodies: GET, HEAD and PUT of /api/v1/files (openapi.cc has
// the parameters). Ranges: RFC 9110, section 14, one range. Owned by the server; one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "src/server/auth/caller.h"
#include "src/server/engine.h"
#include "src/server/http/exchange.h"

namespace msb::server::rpc {

class RawFiles {
 public:
  explicit RawFiles(Engine& engine) : engine_(engine) {}

  Async<void> HandleGet(http::Exchange& exchange, const Caller& caller);
  Async<void> HandlePut(http::Exchange& exchange, const Caller& caller);

 private:
  Async<base::Status> Download(http::Exchange& exchange, Call call, api::FileParams params);
  Async<base::Result<api::FileInfo>> Upload(http::Exchange& exchange, Call call,
                                            api::FileWriteParams params,
                                            // why the request's body could not be read
                                            std::optional<base::Error>& unread);

  Engine& engine_;
};

struct ByteRange {
  uint64_t first = 0;
  uint64_t length = 0;
};
// Absent: the whole file is to be sent. kInvalid: no byte of the file is in it.
base::Result<std::optional<ByteRange>> ParseRange(std::string_view header, uint64_t size);

}  // namespace msb::server::rpc
