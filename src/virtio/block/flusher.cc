#include "src/virtio/block/flusher.h"

#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace msb::virtio::block {
namespace {

using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

constexpr size_t kStackBytes = 32 * 1024;

void Post(int event_fd) {
  const uint64_t one = 1;
  CHECK(::write(event_fd, &one, sizeof one) == sizeof one);
}

void Take(int event_fd) {
  uint64_t count;
  while (::read(event_fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<std::unique_ptr<Flusher>> Flusher::Create(base::EventLoop& loop, int fd, Done done) {
  std::unique_ptr<Flusher> flusher(new Flusher(fd, std::move(done)));
  flusher->wanted_.Reset(::eventfd(0, EFD_CLOEXEC));
  flusher->finished_.Reset(::eventfd(0, EFD_CLOEXEC));
  if (!flusher->wanted_ || !flusher->finished_) return FailErrno("cannot create an eventfd");
  flusher->watch_ = TRY(loop.Add(flusher->finished_.get(), EPOLLIN,
                                 [self = flusher.get()](uint32_t) { self->Finished(); }));
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(
      &attributes, std::max<size_t>(kStackBytes, static_cast<size_t>(PTHREAD_STACK_MIN)));
  errno = ::pthread_create(&flusher->thread_, &attributes, &Flusher::Main, flusher.get());
  ::pthread_attr_destroy(&attributes);
  if (errno != 0) return FailErrno("cannot start a thread");
  flusher->running_ = true;
  return flusher;
}

Flusher::~Flusher() {
  if (!running_) return;
  stop_ = true;
  Post(wanted_.get());
  ::pthread_join(thread_, nullptr);
}

void Flusher::Start() {
  CHECK(!busy_);
  busy_ = true;
  Post(wanted_.get());
}

void* Flusher::Main(void* self) {
  static_cast<Flusher*>(self)->Serve();
  return nullptr;
}

void Flusher::Serve() {
  for (;;) {
    Take(wanted_.get());
    if (stop_) return;
    int failure = 0;
    while (::fdatasync(fd_) < 0) {
      failure = errno;
      if (failure != EINTR) break;
      failure = 0;
    }
    result_ = failure;
    Post(finished_.get());
  }
}

void Flusher::Finished() {
  Take(finished_.get());
  busy_ = false;
  const int failure = result_;
  if (failure == 0) {
    done_({});
    return;
  }
  errno = failure;
  done_(FailErrno("cannot flush a disk"));
}

}  // namespace msb::virtio::block
