// Flusher: fdatasync without holding up the event loop, on a thread of its own that does nothing
// else, allocates nothing and sees no guest memory.
//
// Owned by a BlockDevice. Start and the callback belong to the event loop's thread; one flush at a
// time. The destructor waits for a flush under way.
#pragma once

#include <pthread.h>

#include <atomic>
#include <functional>
#include <memory>

#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::virtio::block {

class Flusher {
 public:
  using Done = std::function<void(base::Status)>;

  // `fd` must outlive the flusher.
  static base::Result<std::unique_ptr<Flusher>> Create(base::EventLoop& loop, int fd, Done done);
  Flusher(const Flusher&) = delete;
  ~Flusher();

  void Start();  // only when not busy
  bool busy() const { return busy_; }

 private:
  Flusher(int fd, Done done) : fd_(fd), done_(std::move(done)) {}
  static void* Main(void* self);
  void Serve();
  void Finished();

  const int fd_;
  const Done done_;
  bool busy_ = false;
  std::atomic<bool> stop_ = false;
  std::atomic<int> result_ = 0;  // errno of the last flush
  base::UniqueFd wanted_;        // eventfds: loop -> thread, thread -> loop
  base::UniqueFd finished_;
  base::Watch watch_;
  pthread_t thread_ = {};
  bool running_ = false;
};

}  // namespace msb::virtio::block
