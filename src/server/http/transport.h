// Transport: a connected socket, with deadlines, and with the bytes that were read too early.
//
// Owned by its connection. At most one read and one write at a time. Errors: kTimeout when a
// deadline passed, kClosed when the peer has gone. One thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "src/base/result.h"
#include "src/server/async.h"
#include "src/server/http/deadline.h"
#include "src/server/http/pace.h"

namespace msb::server::http {

class Transport : public std::enable_shared_from_this<Transport> {
 public:
  static constexpr size_t kMostAhead = 16 * 1024;

  explicit Transport(boost::asio::ip::tcp::socket socket);

  // What came and was not consumed; valid until the next Fill.
  std::string_view buffered() const { return std::string_view(in_).substr(begin_); }
  void Consume(size_t size);
  // Reads more into the buffer. 0: the peer sends no more.
  Async<base::Result<size_t>> Fill(Clock::time_point deadline);
  // Reads past the buffer, which must be empty.
  Async<base::Result<size_t>> Read(std::span<char> buffer, Clock::time_point deadline);
  // All of it, if the peer takes it at that pace.
  Async<base::Status> Write(std::string_view data, Pace pace);

  // Calls `on_gone` once if the peer closes or fails; what it sends before that is buffered, up to
  // kMostAhead.
  void WatchPeer(std::function<void()> on_gone);
  void UnwatchPeer() { on_gone_ = nullptr; }

  void ShutDown();         // what runs ends with kClosed
  void ShutDownSending();  // the peer sees the end of what was sent
  void Close();            // afterwards nothing runs

  boost::asio::ip::tcp::socket& socket() { return socket_; }
  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return bytes_out_; }

 private:
  void WaitForPeer();
  void PeerMoved();

  boost::asio::ip::tcp::socket socket_;
  std::string in_;
  size_t begin_ = 0;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  bool read_expired_ = false;
  bool write_expired_ = false;
  bool watching_ = false;
  std::function<void()> on_gone_;
  Deadline read_deadline_;
  Deadline write_deadline_;
};

}  // namespace msb::server::http
