#include "src/vmm/control.h"

#include <sys/socket.h>

#include <memory>
#include <string>

#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::vmm {

using base::ErrorCode;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

Result<Control::Request> Control::Receive() {
  // Not kept: only Start is large, and an idle msb-vmm is small.
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kMaxControlMessage);
  base::Received received =
      TRY(base::ReceiveWithFds(socket_.get(), std::span(buffer.get(), kMaxControlMessage)));
  if (received.size == 0) return Fail(ErrorCode::kClosed, "the monitor is gone");
  if (received.truncated) return Fail(ErrorCode::kProtocol, "a request that is too long");
  const std::string_view text(reinterpret_cast<const char*>(buffer.get()), received.size);
  return Request{TRY(base::json::Parse<ToVmm>(text)), std::move(received.fds)};
}

Status Control::Send(const FromVmm& event) const {
  const std::string text = base::json::Write(event);
  if (::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    return FailErrno("cannot tell the monitor");
  }
  return {};
}

}  // namespace msb::vmm
