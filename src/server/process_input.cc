#include "src/server/process_input.h"

namespace msb::server {

using base::ErrorCode;
using base::Fail;

base::Result<std::shared_ptr<ProcessInput>> ProcessInput::Open(Guest& guest,
                                                               const std::string& process) {
  std::shared_ptr<ProcessInput> input(new ProcessInput(guest));
  agent::Attachment::Callbacks callbacks;
  callbacks.on_writable = [raw = input.get()](unsigned) { raw->changed_.Set(); };
  callbacks.on_exit = [raw = input.get()](const agent::Exited&) {
    raw->closed_ = Fail(ErrorCode::kNotFound, "the process has ended: nobody reads its input");
    raw->changed_.Set();
  };
  callbacks.on_failed = [raw = input.get()](const agent::Failure& failure) {
    raw->closed_ = ErrorOf(failure);
    raw->changed_.Set();
  };
  agent::Attach attach;
  attach.id = process;
  attach.input = true;
  input->attachment_ = TRY(agent::Attachment::Reattach(
      guest.loop().events(), TRY(guest.NewStream()), attach, std::move(callbacks)));
  return input;
}

Async<base::Status> ProcessInput::Write(std::string data, bool eof, Cancellation& cancellation) {
  const Lock::Guard guard = co_await lock_.Acquire(cancellation);
  const Cancellation::Watch watch(cancellation, [this] { changed_.Set(); });
  std::string_view rest = data;
  while (guard && !cancellation.cancelled()) {
    changed_.Clear();
    if (closed_) co_return *closed_;
    rest.remove_prefix(attachment_->WriteStdin(rest));
    if (rest.empty()) {
      if (eof) attachment_->CloseStdin();
      co_return base::Status();
    }
    co_await changed_.Wait();
  }
  co_return Fail(ErrorCode::kClosed, "the client has gone");
}

}  // namespace msb::server
