// For tests: an HTTP server on a thread of its own, and clients with plain blocking sockets, which
// send whatever bytes a test wants. TestServer's members may be used while the thread is not.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "src/base/unique_fd.h"
#include "src/server/http/server.h"

namespace msb::server::http {

class RecordingLog : public AccessLog {
 public:
  void Write(AccessRecord record) override;
  std::vector<AccessRecord> records();

 private:
  std::mutex mutex_;
  std::vector<AccessRecord> records_;
};

class TestServer {
 public:
  explicit TestServer(Site site, Admit admit = {},
                      MemoryBudget::Limits budget = MemoryBudget::DefaultLimits());
  ~TestServer();

  uint16_t port() const { return port_; }
  RecordingLog& log() { return log_; }
  MemoryBudget& budget() { return budget_; }
  // Runs there, and waits for it.
  void OnServer(std::function<void(Server&)> task);
  // Returns once all connections have ended.
  void Drain(std::chrono::milliseconds patience);
  boost::asio::io_context& context() { return context_; }

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      context_.get_executor()};
  Counters counters_;
  MemoryBudget budget_;
  RecordingLog log_;
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

// A received response.
struct Answer {
  int status = 0;  // 0: the connection ended without one
  std::string head;
  std::string body;
  bool has(std::string_view header_line) const { return head.find(header_line) != head.npos; }
};

class Client {
 public:
  explicit Client(uint16_t port);
  void Send(std::string_view bytes);
  // One answer, by its Content-Length or chunks. `head_only`: it was a HEAD request.
  Answer Receive(bool head_only = false);
  Answer Ask(std::string_view bytes);
  // So many bytes, or what comes until the end.
  std::string Take(size_t size);
  bool AtEnd();  // waits until the server closes (or sends something more: false)
  void CloseSending();
  int fd() const { return fd_.get(); }

 private:
  bool Fill();
  base::UniqueFd fd_;
  std::string in_;
};

// "GET /path HTTP/1.1" with a Host and the given lines, each ended by CR LF.
std::string Get(std::string_view path, std::string_view lines = "");
std::string Post(std::string_view path, std::string_view body,
                 std::string_view type = "application/json");

}  // namespace msb::server::http
