#include "src/agent/client/directory_watch.h"

#include <utility>

#include "src/agent/client/connection.h"
#include "src/agent/client/relative_path.h"

namespace msb::agent {

class DirectoryWatch::Impl : public Connection {
 public:
  Impl(base::EventLoop& loop, bool recursive, Callbacks callbacks)
      : Connection(loop), depth_(recursive ? kMaxPath : 1), callbacks_(std::move(callbacks)) {}

  bool complete() const { return callbacks_.on_failed != nullptr; }
  void Ask(Request request) { seq_ = SendRequest(std::move(request)); }

 protected:
  base::Status OnReply(const Reply& reply) override;
  base::Status OnEvent(const Event& event) override;
  base::Status OnData(unsigned, std::string_view) override { return Violation("data"); }
  base::Status OnEnd(unsigned) override { return Violation("an end of data"); }
  base::Status OnCredit(unsigned, uint32_t) override { return Violation("credit"); }
  void OnFailed(const Failure& failure) override { callbacks_.on_failed(failure); }

 private:
  void GiveUp(const Failure& failure);

  const uint32_t depth_;
  Callbacks callbacks_;
  uint32_t seq_ = 0;
  bool watching_ = false;
};

void DirectoryWatch::Impl::GiveUp(const Failure& failure) {
  Close();
  callbacks_.on_failed(failure);
}

base::Status DirectoryWatch::Impl::OnReply(const Reply& reply) {
  if (reply.seq != seq_ || watching_) return Violation("an answer to no request of ours");
  if (reply.failure) {
    GiveUp(*reply.failure);
    return {};
  }
  if (!reply.file) return Violation("an answer without its content");
  watching_ = true;
  if (callbacks_.on_watching) callbacks_.on_watching(*reply.file);
  return {};
}

base::Status DirectoryWatch::Impl::OnEvent(const Event& event) {
  if (!watching_) return Violation("an event before the answer");
  if (event.broken) {
    GiveUp(*event.broken);
    return {};
  }
  if (!event.changes) return Violation("an event that is none of a watch");
  for (const FileChange& change : *event.changes) {
    if (!change.name.data.empty() && !IsRelativePath(change.name.data, depth_)) {
      return Violation("a change of what is no name");
    }
  }
  if (callbacks_.on_changes) callbacks_.on_changes(*event.changes);
  return {};
}

DirectoryWatch::DirectoryWatch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
DirectoryWatch::~DirectoryWatch() { impl_->Close(); }

base::Result<std::unique_ptr<DirectoryWatch>> DirectoryWatch::Begin(base::EventLoop& loop,
                                                                    base::UniqueFd stream,
                                                                    const WatchFiles& request,
                                                                    Callbacks callbacks) {
  auto impl = std::make_shared<Impl>(loop, request.recursive, std::move(callbacks));
  CHECK(impl->complete());
  TRY(impl->Open(std::move(stream)));
  Request envelope;
  envelope.watch_files = request;
  impl->Ask(std::move(envelope));
  return std::unique_ptr<DirectoryWatch>(new DirectoryWatch(std::move(impl)));
}

void DirectoryWatch::Pause() { impl_->Pause(); }
void DirectoryWatch::Resume() { impl_->Resume(); }

}  // namespace msb::agent
