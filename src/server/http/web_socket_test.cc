// WebSockets, from outside, over real sockets.
#include "src/server/http/web_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/server/http/testing_site.h"

namespace msb::server::http {
namespace {

using testing::HasSubstr;

constexpr const char* kHandshake =
    "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

// A masked frame, with a mask of zeros.
std::string Frame(uint8_t opcode, std::string_view text) {
  std::string frame = {static_cast<char>(0x80 | opcode)};
  if (text.size() < 126) {
    frame += static_cast<char>(0x80 | text.size());
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(text.size() >> 8);
    frame += static_cast<char>(text.size());
  }
  return frame + std::string(4, '\0') + std::string(text);
}

TEST_F(HttpServer, EchoesWebSocketMessages) {
  Start();
  Client client(server_->port());
  const Answer answer = client.Ask(std::string(kHandshake) + "\r\n");
  EXPECT_EQ(answer.status, 101);
  EXPECT_TRUE(answer.has("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  client.Send(Frame(1, "hello"));
  EXPECT_EQ(client.Take(7), "\x81\x05hello");
  client.Send(Frame(9, "p"));  // a ping
  EXPECT_EQ(client.Take(3), "\x8a\x01p");
  client.Send(Frame(1, std::string(1001, 'x')));
  EXPECT_EQ(client.Take(4), "\x88\x02\x03\xf1");  // 1009: too big
}

TEST_F(HttpServer, TakesNoWebSocketMessageThatItCannotHold) {
  Start(MakeSite(), {}, {.bytes = 1000, .bytes_of_key = 900});
  Client client(server_->port());
  EXPECT_EQ(client.Ask(std::string(kHandshake) + "\r\n").status, 101);
  client.Send(Frame(1, std::string(100, 'x')));
  EXPECT_EQ(client.Take(102).size(), 102u);
  client.Send(Frame(1, std::string(950, 'x')));
  EXPECT_EQ(client.Take(4), "\x88\x0a\x03\xf5");  // 1013: try again later
}

TEST_F(HttpServer, EndsAWebSocketMessageThatDoesNotCome) {
  Site site = MakeSite();
  site.limits.progress_s = 1;
  Start(std::move(site));
  Client client(server_->port());
  EXPECT_EQ(client.Ask(std::string(kHandshake) + "\r\n").status, 101);
  client.Send(Frame(1, std::string(100, 'x')).substr(0, 50));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServer, RefusesWebSocketsOfForeignPages) {
  Start();
  EXPECT_EQ(Ask(std::string(kHandshake) + "Origin: http://evil.example\r\n\r\n").status, 403);
}

TEST_F(HttpServer, SaysWhatAWebSocketHandshakeLacks) {
  Start();
  const Answer answer = Ask(Get("/socket"));
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("Upgrade"));
}

}  // namespace
}  // namespace msb::server::http
