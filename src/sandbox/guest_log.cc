#include "src/sandbox/guest_log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "src/base/sys.h"

namespace msb::sandbox {

base::Result<std::unique_ptr<GuestLog>> GuestLog::Create(base::EventLoop& loop,
                                                         base::UniqueFd& write_end) {
  base::Pair pipe = TRY(base::MakePipe());
  TRY(base::SetNonBlocking(pipe.first.get(), true));
  std::unique_ptr<GuestLog> log(new GuestLog);
  log->pipe_ = std::move(pipe.first);
  write_end = std::move(pipe.second);
  GuestLog* raw = log.get();
  log->resume_ = TRY(loop.AddTimer([raw] {
    raw->read_this_second_ = 0;
    if (raw->watch_.active()) raw->watch_.SetEvents(EPOLLIN);
  }));
  log->watch_ = TRY(loop.Add(log->pipe_.get(), EPOLLIN, [raw](uint32_t events) {
    const bool ended = !raw->Read() && (events & EPOLLHUP) != 0;
    if (ended) {
      raw->watch_.Reset();
      return;
    }
    if (!raw->resume_.armed()) raw->resume_.Arm(std::chrono::seconds(1));
    if (raw->read_this_second_ >= kBytesPerSecond) raw->watch_.SetEvents(0);
  }));
  return log;
}

bool GuestLog::Read() {
  std::array<char, 8192> buffer;
  const ssize_t got = ::read(pipe_.get(), buffer.data(), buffer.size());
  if (got <= 0) return false;
  read_this_second_ += static_cast<size_t>(got);
  ring_.append(buffer.data(), static_cast<size_t>(got));
  if (ring_.size() > kRingBytes) ring_.erase(0, ring_.size() - kRingBytes);
  return true;
}

std::string GuestLog::Tail(size_t lines, size_t bytes) {
  for (size_t i = 0; i < 2 * kRingBytes / 8192 && Read(); ++i) {
  }
  size_t from = ring_.size();
  for (size_t found = 0; from > 0 && found <= lines; --from) {
    if (ring_[from - 1] == '\n' && from != ring_.size() && ++found == lines) break;
  }
  return ring_.substr(std::max(from, ring_.size() - std::min(bytes, ring_.size())));
}

}  // namespace msb::sandbox
