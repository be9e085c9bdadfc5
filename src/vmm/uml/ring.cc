#include "src/vmm/uml/ring.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <utility>

#include "src/base/sys.h"

namespace msb::vmm::uml {

using base::ErrorCode;
using base::Fail;
using base::Status;

Status Ring::SetKick(base::EventLoop& loop, base::UniqueFd fd, std::function<void()> on_kick) {
  kick_watch_.Reset();
  kick_ = std::move(fd);
  if (!kick_.valid()) return {};
  kick_watch_ = TRY(loop.Add(kick_.get(), EPOLLIN | EPOLLET,
                             [on_kick = std::move(on_kick)](uint32_t) { on_kick(); }));
  return {};
}

Status Ring::SetCall(base::UniqueFd fd) {
  call_ = std::move(fd);
  if (!call_.valid()) return {};
  if (!S_ISSOCK(TRY(base::Stat(call_.get())).st_mode)) {
    return Fail(ErrorCode::kProtocol, "a call descriptor that is not a socket");
  }
  return {};
}

void Ring::Signal() const {
  if (!call_.valid()) return;
  const uint64_t one = 1;
  while (::send(call_.get(), &one, sizeof one, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

void Ring::Reset() {
  kick_watch_.Reset();
  kick_.Reset();
  call_.Reset();
}

}  // namespace msb::vmm::uml
