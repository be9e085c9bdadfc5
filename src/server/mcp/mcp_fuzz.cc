// Lines of any bytes, as messages to a session: each request gets exactly one answer, which is
// JSON, or is withdrawn; nothing runs on after the session's end.
#include <boost/asio/io_context.hpp>

#include <string_view>

#include "src/server/mcp/fixture/fixture.h"
#include "src/server/mcp/session.h"

namespace msb::server::mcp {
namespace {

class CountingOutlet : public Outlet {
 public:
  void Send(std::string message) override { CHECK(ReadIncoming(message).has_value()); }
  void Answer(std::string message) override {
    CHECK(base::json::ParseValue(message).has_value());
    ++answered;
  }
  void Withdraw() override { ++answered; }
  void Disconnect() override {}

  size_t answered = 0;
};

void Feed(std::string_view text) {
  boost::asio::io_context context(1);
  const auto outlet = std::make_shared<CountingOutlet>();
  static const std::shared_ptr<const Features> features = MakeFixture();
  const auto session = std::make_shared<Session>(context.get_executor(), features, outlet);
  size_t asked = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    auto incoming = ReadIncoming(line);
    if (!incoming) continue;
    for (auto& message : incoming->messages) {
      if (!message) continue;
      if (message->kind == Message::Kind::kRequest) ++asked;
      session->Receive(*std::move(message), {.key_id = "fuzz"}, outlet);
    }
    context.restart();
    context.poll();
  }
  session->End();
  context.restart();
  context.run();
  CHECK(outlet->answered == asked);
}

}  // namespace
}  // namespace msb::server::mcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::server::mcp::Feed(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
