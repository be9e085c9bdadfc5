#include "src/server/guest.h"

#include "src/base/bytes.h"
#include "src/server/file_stream.h"

namespace msb::server {
namespace {

using agent::FailureCode;
using base::ErrorCode;
using base::Fail;

constexpr size_t kMaxMessage = 1024;

ErrorCode CodeOf(FailureCode code) {
  switch (code) {
    case FailureCode::kInvalid:
    case FailureCode::kWrongKind:
    case FailureCode::kNoSuchUser:
    case FailureCode::kBadWorkdir:
      return ErrorCode::kInvalid;
    case FailureCode::kNoSuchProcess:
    case FailureCode::kNotFound:
      return ErrorCode::kNotFound;
    case FailureCode::kDenied:
      return ErrorCode::kDenied;
    case FailureCode::kExists:
    case FailureCode::kNotEmpty:
    case FailureCode::kProcessExists:
      return ErrorCode::kExists;
    case FailureCode::kLimit:
      return ErrorCode::kLimit;
    case FailureCode::kNoSpace:
      return ErrorCode::kNoSpace;
    case FailureCode::kBusy:
      return ErrorCode::kBusy;
    case FailureCode::kDisconnected:
      return ErrorCode::kClosed;
    case FailureCode::kUnsupported:
      return ErrorCode::kUnsupported;
    default:
      return ErrorCode::kSystem;
  }
}

template <typename T>
struct Pending {
  explicit Pending(boost::asio::any_io_executor executor) : done(std::move(executor)) {}
  Event done;
  std::optional<agent::Answer<T>> answer;
};

template <typename T>
base::Result<T> ResultOf(agent::Answer<T> answer) {
  if (!answer) return ErrorOf(answer.error());
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return *std::move(answer);
  }
}

}  // namespace

base::Error ErrorOf(const agent::Failure& failure) {
  const std::string_view message = failure.message.data;
  return {CodeOf(failure.code), base::EscapeForTerminal(message.substr(0, kMaxMessage))};
}

base::Result<agent::Control*> Guest::ControlStream() {
  if (control_closed_) control_.reset();
  if (!control_) {
    control_closed_ = false;
    control_ =
        TRY(agent::Control::Create(loop_.events(), TRY(connect_()),
                                   [this](const agent::Failure&) { control_closed_ = true; }));
  }
  return control_.get();
}

template <typename T, typename Request>
Async<base::Result<T>> Guest::Ask(void (agent::Control::*send)(const Request&, agent::OnAnswer<T>),
                                  Request request, Clock::time_point deadline) {
  const auto pending = std::make_shared<Pending<T>>(loop_.executor());
  CO_TRY(agent::Control * control, ControlStream());
  (control->*send)(request, [pending](agent::Answer<T> answer) {
    pending->answer = std::move(answer);
    pending->done.Set();
  });
  co_await pending->done.Wait(deadline);
  if (pending->answer) co_return ResultOf<T>(*std::move(pending->answer));
  co_return Fail(ErrorCode::kTimeout, "the sandbox's agent does not answer");
}

Async<base::Status> Guest::Signal(agent::Signal request) {
  co_return co_await Ask(&agent::Control::SendSignal, std::move(request), Clock::now() + kPatience);
}

Async<base::Status> Guest::Resize(agent::Resize request) {
  co_return co_await Ask(&agent::Control::SendResize, std::move(request), Clock::now() + kPatience);
}

Async<base::Result<agent::Processes>> Guest::ListProcesses() {
  const auto pending = std::make_shared<Pending<agent::Processes>>(loop_.executor());
  CO_TRY(agent::Control * control, ControlStream());
  control->SendListProcesses([pending](agent::Answer<agent::Processes> answer) {
    pending->answer = std::move(answer);
    pending->done.Set();
  });
  co_await pending->done.Wait(Clock::now() + kPatience);
  if (pending->answer) co_return ResultOf<agent::Processes>(*std::move(pending->answer));
  co_return Fail(ErrorCode::kTimeout, "the sandbox's agent does not answer");
}

// On a stream of its own: one that is given up must not go on being open.
Async<base::Result<agent::Exited>> Guest::Wait(agent::Wait request, Clock::time_point deadline,
                                               Cancellation& cancellation) {
  const auto pending = std::make_shared<Pending<agent::Exited>>(loop_.executor());
  CO_TRY(base::UniqueFd stream, NewStream());
  CO_TRY(const auto control,
         agent::Control::Create(loop_.events(), std::move(stream), [](const agent::Failure&) {}));
  control->SendWait(request, [pending](agent::Answer<agent::Exited> answer) {
    pending->answer = std::move(answer);
    pending->done.Set();
  });
  const Cancellation::Watch watch(cancellation, [pending] { pending->done.Set(); });
  co_await pending->done.Wait(deadline);
  if (pending->answer) co_return ResultOf<agent::Exited>(*std::move(pending->answer));
  if (cancellation.cancelled()) co_return Fail(ErrorCode::kClosed, "the client has gone");
  co_return Fail(ErrorCode::kTimeout, "the process has not ended");
}

Async<base::Result<agent::FileStatus>> Guest::Stat(agent::StatFile request) {
  co_return co_await Ask(&agent::Control::SendStatFile, std::move(request),
                         Clock::now() + kPatience);
}

Async<base::Result<std::string>> Guest::ReadSymlink(agent::ReadSymlink request) {
  CO_TRY(base::Bytes target, co_await Ask(&agent::Control::SendReadSymlink, std::move(request),
                                          Clock::now() + kPatience));
  co_return std::move(target.data);
}

Async<base::Status> Guest::MakeDirectory(agent::MakeDirectory request) {
  co_return co_await Ask(&agent::Control::SendMakeDirectory, std::move(request),
                         Clock::now() + kPatience);
}

Async<base::Status> Guest::Remove(agent::Remove request) {
  co_return co_await Ask(&agent::Control::SendRemove, std::move(request),
                         Clock::now() + 10 * kPatience);
}

Async<base::Status> Guest::Rename(agent::Rename request) {
  // To another file system it is a copy.
  co_return co_await Ask(&agent::Control::SendRename, std::move(request),
                         Clock::now() + 10 * kPatience);
}

Async<base::Result<agent::FileStatus>> Guest::WriteFile(agent::WriteFile request,
                                                        std::string content,
                                                        Cancellation& cancellation) {
  FileWriting writing(*this);
  CO_TRY(writing.Open(request));
  CO_TRY(co_await writing.Put(content, cancellation));
  co_return co_await writing.Finish(cancellation);
}

}  // namespace msb::server
