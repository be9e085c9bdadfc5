#include "src/server/http/transport.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace msb::server::http {
namespace {

constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);
constexpr size_t kFillBytes = 4096;  // also what an idle connection holds

base::Error Gone() { return {base::ErrorCode::kClosed, "the client has closed the connection"}; }

}  // namespace

// A deadline shuts its direction down, which ends what waits there; the other can still answer.
Transport::Transport(boost::asio::ip::tcp::socket socket)
    : socket_(std::move(socket)),
      read_deadline_(socket_.get_executor(),
                     [this] {
                       read_expired_ = true;
                       ::shutdown(socket_.native_handle(), SHUT_RD);
                     }),
      write_deadline_(socket_.get_executor(), [this] {
        write_expired_ = true;
        ShutDown();
      }) {}

void Transport::Consume(size_t size) {
  begin_ += size;
  if (begin_ < in_.size()) return;
  begin_ = 0;
  in_.clear();
  if (in_.capacity() > 2 * kFillBytes) in_.shrink_to_fit();
}

Async<base::Result<size_t>> Transport::Fill(Clock::time_point deadline) {
  in_.erase(0, std::exchange(begin_, 0));
  const size_t before = in_.size();
  in_.resize(before + kFillBytes);
  const auto size = co_await Read(std::span(in_).subspan(before), deadline);
  in_.resize(before + size.value_or(0));
  co_return size;
}

Async<base::Result<size_t>> Transport::Read(std::span<char> buffer, Clock::time_point deadline) {
  read_deadline_.Set(deadline);
  const auto [error, size] =
      co_await socket_.async_read_some(boost::asio::buffer(buffer.data(), buffer.size()), kAwait);
  read_deadline_.Clear();
  bytes_in_ += size;
  if (size > 0) co_return size;
  if (read_expired_) {
    co_return base::Error(base::ErrorCode::kTimeout, "the client sends too slowly");
  }
  if (error && error != boost::asio::error::eof) co_return Gone();
  co_return size_t{0};
}

Async<base::Status> Transport::Write(std::string_view data, Pace pace) {
  while (!data.empty()) {
    write_deadline_.Set(pace.Begin());
    const auto [error, size] =
        co_await socket_.async_write_some(boost::asio::buffer(data.data(), data.size()), kAwait);
    write_deadline_.Clear();
    pace.End(size);
    bytes_out_ += size;
    if (write_expired_) {
      co_return base::Error(base::ErrorCode::kTimeout, "the client reads too slowly");
    }
    if (error) co_return Gone();
    data.remove_prefix(size);
  }
  co_return base::Status();
}

void Transport::WatchPeer(std::function<void()> on_gone) {
  on_gone_ = std::move(on_gone);
  if (!watching_) WaitForPeer();
}

void Transport::WaitForPeer() {
  watching_ = true;
  socket_.async_wait(boost::asio::socket_base::wait_read,
                     [self = weak_from_this()](boost::system::error_code error) {
                       const auto transport = self.lock();
                       if (!transport) return;
                       transport->watching_ = false;
                       if (!error && transport->on_gone_) transport->PeerMoved();
                     });
}

// What it sends is its next request, and kept: behind it may be its end.
void Transport::PeerMoved() {
  std::array<char, kMostAhead> more;
  const size_t room = kMostAhead - std::min(kMostAhead, in_.size() - begin_);
  if (room == 0) return;  // a peer that sends so far ahead is believed to be there
  const ssize_t size = ::recv(socket_.native_handle(), more.data(), room, MSG_DONTWAIT);
  if (size > 0) {
    in_.append(more.data(), static_cast<size_t>(size));
    bytes_in_ += static_cast<uint64_t>(size);
    return WaitForPeer();
  }
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return WaitForPeer();
  std::exchange(on_gone_, nullptr)();
}

void Transport::ShutDown() { ::shutdown(socket_.native_handle(), SHUT_RDWR); }
void Transport::ShutDownSending() { ::shutdown(socket_.native_handle(), SHUT_WR); }

void Transport::Close() {
  on_gone_ = nullptr;
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace msb::server::http
