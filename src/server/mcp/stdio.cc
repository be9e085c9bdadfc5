#include "src/server/mcp/stdio.h"

#include <fcntl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace msb::server::mcp {

namespace asio = boost::asio;
using base::ErrorCode;
using base::Fail;
using base::Status;

namespace {

constexpr auto kAwaitTuple = asio::as_tuple(asio::use_awaitable);

}  // namespace

// Standard output: lines wait here until they are written.
class StdioTransport::Outlet : public mcp::Outlet, public std::enable_shared_from_this<Outlet> {
 public:
  Outlet(asio::any_io_executor executor, base::UniqueFd output)
      : flags_(::fcntl(output.get(), F_GETFL)),
        output_(executor, output.Release()),
        news_(executor),
        room_(executor) {
    room_.Set();
  }
  ~Outlet() override { ::fcntl(output_.native_handle(), F_SETFL, flags_); }

  void Send(std::string message) override {
    if (unsent_bytes_ <= kMaxUnsentBytes) Answer(std::move(message));
  }
  void Answer(std::string message) override {
    if (closed_) return;
    message += '\n';
    unsent_bytes_ += message.size();
    lines_.push_back(std::move(message));
    if (unsent_bytes_ > kMaxUnsentBytes) room_.Clear();
    news_.Set();
  }
  void Withdraw() override {}
  void Disconnect() override {}  // one connection is all there is

  // `on_closed`: once, when nobody reads the output any more.
  void Start(std::function<void()> on_closed) {
    on_closed_ = std::move(on_closed);
    asio::co_spawn(output_.get_executor(), WriteLines(shared_from_this()), asio::detached);
  }
  // Notices a reader that goes while there is nothing to write.
  void WatchReader() {
    output_.async_wait(asio::posix::stream_descriptor::wait_error,
                       [weak = weak_from_this()](const boost::system::error_code& error) {
                         const auto self = weak.lock();
                         if (self && !error) self->Close();
                       });
  }
  // Nothing more comes. Until all is written, or cannot be.
  Async<void> Finish() {
    finished_ = true;
    news_.Set();
    while (!closed_ && !lines_.empty()) {
      room_.Clear();
      co_await room_.Wait();
    }
    Close();  // also what watches the reader
  }
  Async<void> WaitForRoom() { co_await room_.Wait(); }
  void Close() {
    closed_ = true;
    boost::system::error_code ignored;
    output_.cancel(ignored);
    room_.Set();
    news_.Set();
    if (const auto on_closed = std::exchange(on_closed_, nullptr)) on_closed();
  }

 private:
  static Async<void> WriteLines(std::shared_ptr<Outlet> self) {
    while (!self->closed_ && !(self->finished_ && self->lines_.empty())) {
      if (self->lines_.empty()) {
        self->news_.Clear();
        co_await self->news_.Wait();
        continue;
      }
      const std::string& line = self->lines_.front();
      const auto [error, size] =
          co_await asio::async_write(self->output_, asio::buffer(line), kAwaitTuple);
      if (error) {
        self->Close();
        break;
      }
      self->unsent_bytes_ -= size;
      self->lines_.pop_front();
      if (self->unsent_bytes_ <= kMaxUnsentBytes) self->room_.Set();
    }
  }
  const int flags_;
  asio::posix::stream_descriptor output_;
  std::deque<std::string> lines_;
  size_t unsent_bytes_ = 0;
  Event news_;
  Event room_;
  bool finished_ = false;
  bool closed_ = false;
  std::function<void()> on_closed_;
};

// The answers of a batch, which go out together.
class StdioTransport::BatchOutlet : public mcp::Outlet {
 public:
  BatchOutlet(std::shared_ptr<Outlet> outlet, size_t answers)
      : outlet_(std::move(outlet)), missing_(answers) {}
  void Send(std::string message) override { outlet_->Send(std::move(message)); }
  void Answer(std::string message) override {
    answers_ += (answers_.empty() ? "[" : ",") + message;
    Withdraw();
  }
  void Withdraw() override {
    if (--missing_ == 0 && !answers_.empty()) outlet_->Answer(answers_ + "]");
  }
  void Disconnect() override {}

 private:
  std::shared_ptr<Outlet> outlet_;
  size_t missing_;
  std::string answers_;
};

StdioTransport::StdioTransport(asio::any_io_executor executor,
                               std::shared_ptr<const Features> features, Caller caller,
                               base::UniqueFd input, base::UniqueFd output)
    : executor_(executor),
      caller_(std::move(caller)),
      input_(executor, input.get()),
      input_flags_(::fcntl(input.Release(), F_GETFL)),
      outlet_(std::make_shared<Outlet>(executor, std::move(output))),
      session_(std::make_shared<Session>(executor, std::move(features), outlet_)) {}

StdioTransport::~StdioTransport() { ::fcntl(input_.native_handle(), F_SETFL, input_flags_); }

void StdioTransport::Stop() {
  if (std::exchange(stopped_, true)) return;
  session_->End();
  outlet_->Close();
  boost::system::error_code ignored;
  input_.cancel(ignored);
}

Async<Status> StdioTransport::Run() {
  outlet_->Start([this] { Stop(); });
  Status status = co_await ReadLines();
  if (status) {
    outlet_->WatchReader();
  } else {
    session_->End();
  }
  co_await session_->Drain();
  co_await outlet_->Finish();
  co_return status;
}

Async<Status> StdioTransport::ReadLines() {
  std::string line;
  std::array<char, 64 << 10> buffer;
  while (!stopped_) {
    co_await outlet_->WaitForRoom();
    const auto [error, size] = co_await input_.async_read_some(asio::buffer(buffer), kAwaitTuple);
    if (error == asio::error::eof || stopped_) break;
    if (error) co_return Fail(ErrorCode::kSystem, "standard input: {}", error.message());
    for (std::string_view rest(buffer.data(), size); !rest.empty();) {
      const size_t newline = rest.find('\n');
      line += rest.substr(0, newline);
      if (line.size() > kMaxLineBytes) {
        co_return Fail(ErrorCode::kLimit, "standard input: a message is longer than {} bytes",
                       kMaxLineBytes);
      }
      if (newline == std::string_view::npos) break;
      Take(line);
      line.clear();
      rest.remove_prefix(newline + 1);
    }
  }
  co_return Status();
}

void StdioTransport::Take(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return;
  auto incoming = ReadIncoming(line);
  if (!incoming) {
    outlet_->Answer(WriteError(incoming.error().id, incoming.error().error));
  } else if (incoming->batch) {
    TakeBatch(*std::move(incoming));
  } else if (auto& message = incoming->messages.front(); message) {
    session_->Receive(*std::move(message), caller_, outlet_);
  } else {
    outlet_->Answer(WriteError(message.error().id, message.error().error));
  }
}

void StdioTransport::TakeBatch(Incoming incoming) {
  if (session_->version() != Version::k2025_03_26) {
    outlet_->Answer(
        WriteError(nullptr, {kInvalidRequest,
                             "batches belong to protocol version 2025-03-26 only; send the "
                             "messages one by one"}));
    return;
  }
  const size_t answers = std::ranges::count_if(incoming.messages, [](const auto& message) {
    return !message || message->kind == Message::Kind::kRequest;
  });
  const auto batch = std::make_shared<BatchOutlet>(outlet_, answers);
  for (auto& message : incoming.messages) {
    if (message) {
      session_->Receive(*std::move(message), caller_, batch);
    } else {
      batch->Answer(WriteError(message.error().id, message.error().error));
    }
  }
}

}  // namespace msb::server::mcp
