// Connection: a session of Streamable HTTP: its id, its streams, and who listens.
//
// Owned by the Endpoint and by the requests that use it. One thread.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "src/server/http/exchange.h"
#include "src/server/mcp/http.h"
#include "src/server/mcp/session.h"
#include "src/server/mcp/stream.h"

namespace msb::server::mcp {

class Endpoint::Connection : public std::enable_shared_from_this<Endpoint::Connection> {
 public:
  // Streams that are complete and may still be resumed.
  static constexpr size_t kMaxComplete = 8;
  static constexpr size_t kMaxCompleteBytes = 1 << 20;

  Connection(boost::asio::any_io_executor executor, std::shared_ptr<const Features> features,
             std::string key_id, const EndpointOptions& options);

  const std::string& id() const { return id_; }
  const std::string& key_id() const { return key_id_; }
  Session& session() { return *session_; }
  Clock::time_point idle_since() const { return idle_since_; }
  bool in_use() const { return users_ > 0; }

  std::shared_ptr<EventStream> OpenStream(size_t answers);
  std::shared_ptr<EventStream> FindStream(uint64_t number) const;  // 0: the session's own

  // Sends what comes after event `last`, as it comes, until the stream is complete, or its reader
  // another, or the client gone.
  Async<void> RespondWithEvents(http::Exchange& exchange, std::shared_ptr<EventStream> stream,
                                std::shared_ptr<Event> reader, uint64_t last);
  // The answers of a stream at once, as JSON.
  Async<void> RespondWithJson(http::Exchange& exchange, std::shared_ptr<EventStream> stream,
                              std::shared_ptr<Event> reader, bool batch);
  void End();

  // A request that uses the session: it is not idle meanwhile.
  class Use {
   public:
    explicit Use(std::shared_ptr<Connection> connection);
    ~Use();
    Use(const Use&) = delete;

   private:
    std::shared_ptr<Connection> connection_;
  };
  // Called once, when it has been idle for too long.
  void OnIdle(std::function<void()> handler) { on_idle_ = std::move(handler); }

 private:
  // Nobody can come back for a stream of the stateless protocol.
  bool resumable() const { return session_->version() < Version::k2026_07_28; }
  Async<base::Status> BeginEvents(http::Exchange& exchange, EventId last);
  Async<base::Status> WriteNext(http::Exchange& exchange, EventStream& stream, Event& reader,
                                uint64_t& last);
  // Written to the client and done with, or left by it.
  void Left(const std::shared_ptr<EventStream>& stream, const std::shared_ptr<Event>& reader);
  void ForgetStreams();
  void StartIdleTimer();

  boost::asio::any_io_executor executor_;
  const EndpointOptions options_;
  const std::string id_;
  const std::string key_id_;
  std::map<uint64_t, std::shared_ptr<EventStream>> streams_;
  std::shared_ptr<Session> session_;
  uint64_t next_stream_ = 1;
  size_t users_ = 0;
  Clock::time_point idle_since_;
  boost::asio::steady_timer idle_timer_;
  std::function<void()> on_idle_;
};

}  // namespace msb::server::mcp
