#include "src/agent/client/control.h"

#include <map>
#include <utility>

#include "src/agent/client/connection.h"

namespace msb::agent {

class Control::Impl : public Connection {
 public:
  Impl(base::EventLoop& loop, std::function<void(const Failure&)> on_closed)
      : Connection(loop), loop_(loop), on_closed_(std::move(on_closed)) {}

  template <typename T>
  void Ask(Request request, std::optional<T> Reply::* member, OnAnswer<T> done);
  void Ask(Request request, OnAnswer<void> done);

 protected:
  base::Status OnReply(const Reply& reply) override;
  base::Status OnEvent(const Event&) override { return Violation("an event"); }
  base::Status OnData(unsigned, std::string_view) override { return Violation("data"); }
  base::Status OnEnd(unsigned) override { return Violation("an end of data"); }
  base::Status OnCredit(unsigned, uint32_t) override { return Violation("credit"); }
  void OnFailed(const Failure& failure) override;

 private:
  // Gets the reply, or why there will be none. Fails if the reply lacks its content.
  using Finish = std::function<base::Status(const Reply*, const Failure&)>;
  void Send(Request request, Finish finish);

  base::EventLoop& loop_;
  std::function<void(const Failure&)> on_closed_;
  std::map<uint32_t, Finish> open_;
  std::optional<Failure> ended_;
};

template <typename T>
void Control::Impl::Ask(Request request, std::optional<T> Reply::* member, OnAnswer<T> done) {
  Send(
      std::move(request),
      [member, done = std::move(done)](const Reply* reply, const Failure& failure) -> base::Status {
        if (reply == nullptr) {
          done(std::unexpected(failure));
        } else if (reply->failure) {
          done(std::unexpected(*reply->failure));
        } else if (std::optional<T> content = reply->*member) {
          done(*std::move(content));
        } else {
          done(std::unexpected(MakeFailure(FailureCode::kProtocol, "the answer has no content")));
          return Violation("an answer without its content");
        }
        return {};
      });
}

void Control::Impl::Ask(Request request, OnAnswer<void> done) {
  Send(std::move(request),
       [done = std::move(done)](const Reply* reply, const Failure& failure) -> base::Status {
         if (reply == nullptr) {
           done(std::unexpected(failure));
         } else if (reply->failure) {
           done(std::unexpected(*reply->failure));
         } else {
           done({});
         }
         return {};
       });
}

void Control::Impl::Send(Request request, Finish finish) {
  if (ended_ || open_.size() >= kMaxOpenRequests) {
    Failure failure =
        ended_ ? *ended_ : MakeFailure(FailureCode::kLimit, "too many requests are unanswered");
    loop_.Defer(
        [weak = weak_from_this(), finish = std::move(finish), failure = std::move(failure)] {
          if (weak.lock()) (void)finish(nullptr, failure);
        });
    return;
  }
  open_.emplace(SendRequest(std::move(request)), std::move(finish));
}

base::Status Control::Impl::OnReply(const Reply& reply) {
  const auto found = open_.find(reply.seq);
  if (found == open_.end()) return Violation("an answer to no request of ours");
  const Finish finish = std::move(found->second);
  open_.erase(found);
  return finish(&reply, {});
}

void Control::Impl::OnFailed(const Failure& failure) {
  const auto self = shared_from_this();  // a callback may let go of us
  ended_ = failure;
  for (const auto& [seq, finish] : std::exchange(open_, {})) (void)finish(nullptr, failure);
  if (on_closed_) on_closed_(failure);
}

Control::Control(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Control::~Control() { impl_->Close(); }

base::Result<std::unique_ptr<Control>> Control::Create(
    base::EventLoop& loop, base::UniqueFd stream, std::function<void(const Failure&)> on_closed) {
  auto impl = std::make_shared<Impl>(loop, std::move(on_closed));
  TRY(impl->Open(std::move(stream)));
  return std::unique_ptr<Control>(new Control(std::move(impl)));
}

void Control::SendPing(OnAnswer<void> done) {
  Request request;
  request.ping.emplace();
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendConfigure(const Configure& configure, OnAnswer<Configured> done) {
  Request request;
  request.configure = configure;
  impl_->Ask(std::move(request), &Reply::configured, std::move(done));
}

void Control::SendStart(const Start& start, OnAnswer<void> done) {
  Request request;
  request.start = start;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendSignal(const Signal& signal, OnAnswer<void> done) {
  Request request;
  request.signal = signal;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendResize(const Resize& resize, OnAnswer<void> done) {
  Request request;
  request.resize = resize;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendWait(const Wait& wait, OnAnswer<Exited> done) {
  Request request;
  request.wait = wait;
  impl_->Ask(std::move(request), &Reply::exited, std::move(done));
}

void Control::SendListProcesses(OnAnswer<Processes> done) {
  Request request;
  request.list_processes.emplace();
  impl_->Ask(std::move(request), &Reply::processes, std::move(done));
}

void Control::SendStatFile(const StatFile& stat, OnAnswer<FileStatus> done) {
  Request request;
  request.stat_file = stat;
  impl_->Ask(std::move(request), &Reply::file, std::move(done));
}

void Control::SendMakeDirectory(const MakeDirectory& make, OnAnswer<void> done) {
  Request request;
  request.make_directory = make;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendRemove(const Remove& remove, OnAnswer<void> done) {
  Request request;
  request.remove = remove;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendRename(const Rename& rename, OnAnswer<void> done) {
  Request request;
  request.rename = rename;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendChangeMode(const ChangeMode& change, OnAnswer<void> done) {
  Request request;
  request.change_mode = change;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendMakeSymlink(const MakeSymlink& make, OnAnswer<void> done) {
  Request request;
  request.make_symlink = make;
  impl_->Ask(std::move(request), std::move(done));
}

void Control::SendReadSymlink(const ReadSymlink& read, OnAnswer<base::Bytes> done) {
  Request request;
  request.read_symlink = read;
  impl_->Ask(std::move(request), &Reply::target, std::move(done));
}

void Control::SendShutdown(const Shutdown& shutdown, OnAnswer<void> done) {
  Request request;
  request.shutdown = shutdown;
  impl_->Ask(std::move(request), std::move(done));
}

}  // namespace msb::agent
