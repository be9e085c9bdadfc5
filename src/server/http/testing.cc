#include "src/server/http/testing.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include <array>
#include <cstdlib>
#include <utility>

namespace msb::server::http {

void RecordingLog::Write(AccessRecord record) {
  const std::scoped_lock lock(mutex_);
  records_.push_back(std::move(record));
}

std::vector<AccessRecord> RecordingLog::records() {
  const std::scoped_lock lock(mutex_);
  return records_;
}

TestServer::TestServer(Site site, Admit admit, MemoryBudget::Limits budget) : budget_(budget) {
  site.budget = &budget_;
  site.counters = &counters_;
  site.access_log = &log_;
  server_ = std::make_unique<Server>(context_, std::move(site), std::move(admit));
  const auto endpoint = server_->Listen("127.0.0.1", 0);
  CHECK(endpoint.has_value());
  port_ = endpoint->port();
  thread_ = std::thread([this] { context_.run(); });
}

TestServer::~TestServer() {
  Drain(std::chrono::milliseconds(0));
  context_.stop();
  thread_.join();
}

void TestServer::OnServer(std::function<void(Server&)> task) {
  std::promise<void> done;
  boost::asio::post(context_, [&] {
    task(*server_);
    done.set_value();
  });
  done.get_future().wait();
}

void TestServer::Drain(std::chrono::milliseconds patience) {
  boost::asio::co_spawn(context_, server_->Drain(Clock::now() + patience), boost::asio::use_future)
      .wait();
}

Client::Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

void Client::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size <= 0) return;  // the server has closed: what it answered is still to be read
    bytes.remove_prefix(static_cast<size_t>(size));
  }
}

bool Client::Fill() {
  std::array<char, 16384> buffer;
  const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (size > 0) in_.append(buffer.data(), static_cast<size_t>(size));
  return size > 0;
}

std::string Client::Take(size_t size) {
  while (in_.size() < size && Fill()) {
  }
  std::string out = in_.substr(0, size);
  in_.erase(0, out.size());
  return out;
}

Answer Client::Receive(bool head_only) {
  Answer answer;
  while (in_.find("\r\n\r\n") == std::string::npos) {
    if (!Fill()) return answer;
  }
  answer.head = Take(in_.find("\r\n\r\n") + 4);
  answer.status = std::atoi(answer.head.substr(9, 3).c_str());
  if (head_only) return answer;
  if (const size_t at = answer.head.find("Content-Length: "); at != std::string::npos) {
    answer.body = Take(std::strtoul(answer.head.c_str() + at + 16, nullptr, 10));
  }
  while (answer.has("Transfer-Encoding: chunked")) {
    std::string line;
    while (!line.ends_with("\r\n")) {
      const std::string next = Take(1);
      if (next.empty()) return answer;
      line += next;
    }
    const size_t size = std::strtoul(line.c_str(), nullptr, 16);
    answer.body += Take(size);
    Take(2);
    if (size == 0) break;
  }
  return answer;
}

Answer Client::Ask(std::string_view bytes) {
  Send(bytes);
  return Receive();
}

bool Client::AtEnd() {
  if (!in_.empty()) return false;
  return !Fill();
}

void Client::CloseSending() { ::shutdown(fd_.get(), SHUT_WR); }

std::string Get(std::string_view path, std::string_view lines) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, lines);
}

std::string Post(std::string_view path, std::string_view body, std::string_view type) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
      path, type, body.size(), body);
}

}  // namespace msb::server::http
