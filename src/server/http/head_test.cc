#include "src/server/http/head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace msb::server::http {
namespace {

// 0: accepted.
int StatusOf(std::string_view bytes, const ConnectionLimits& limits = {}) {
  HeadScanner scanner(limits);
  const auto size = scanner.Scan(bytes);
  if (!size) return size.error().status;
  if (!*size) return -1;
  const auto head = ParseHead(bytes.substr(0, **size), limits);
  return head ? 0 : head.error().status;
}

int StatusOfLine(std::string_view line) {
  return StatusOf(fmt::format("{}\r\nHost: localhost\r\n\r\n", line));
}

int StatusOfFields(std::string_view lines) {
  return StatusOf(fmt::format("POST / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", lines));
}

Head Parse(std::string_view bytes) { return *ParseHead(bytes, {}); }

TEST(Head, IsFoundWhereItEndsWhateverComesBehindIt) {
  const ConnectionLimits limits;
  HeadScanner scanner(limits);
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
  for (size_t i = 0; i < bytes.size() - 3; ++i) {
    EXPECT_FALSE(scanner.Scan(std::string_view(bytes).substr(0, i))->has_value());
  }
  EXPECT_EQ(**scanner.Scan(bytes), bytes.size() - 3);
}

TEST(Head, SaysWhatTheRequestIs) {
  const Head head = Parse(
      "POST /a%20b/%C3%A4?x=1&y=a+b%26&x=2&z HTTP/1.1\r\nHOST: localhost:80\r\n"
      "X-Thing: \t v w \t\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\n");
  EXPECT_EQ(head.request.method, "POST");
  EXPECT_EQ(head.request.path, "/a b/\u00e4");
  EXPECT_EQ(head.request.Query("x"), "1");
  EXPECT_EQ(head.request.Query("y"), "a b&");
  EXPECT_EQ(head.request.Query("z"), "");
  EXPECT_EQ(head.request.Query("w"), std::nullopt);
  EXPECT_EQ(head.request.Header("x-thing"), "v w");
  EXPECT_EQ(head.request.Header("host"), "localhost:80");
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_TRUE(head.expects_continue);
  EXPECT_TRUE(head.keep_alive);
}

TEST(Head, RefusesRequestLinesThatAreNone) {
  EXPECT_EQ(StatusOfLine("GET / HTTP/1.1"), 0);
  EXPECT_EQ(StatusOfLine("GET / HTTP/1.0"), 0);
  EXPECT_EQ(StatusOfLine("GET /"), 400);
  EXPECT_EQ(StatusOfLine("GET  / HTTP/1.1"), 400);
  EXPECT_EQ(StatusOfLine("GET / HTTP/1.1 "), 400);
  EXPECT_EQ(StatusOfLine(" GET / HTTP/1.1"), 400);
  EXPECT_EQ(StatusOfLine("GET\t/ HTTP/1.1"), 400);
  EXPECT_EQ(StatusOfLine("G(T / HTTP/1.1"), 400);
  EXPECT_EQ(StatusOfLine("GET / http/1.1"), 400);
  EXPECT_EQ(StatusOfLine("GET / HTTP/1.10"), 400);
  EXPECT_EQ(StatusOfLine("GET / HTTP/1.2"), 505);
  EXPECT_EQ(StatusOfLine("PRI * HTTP/2.0"), 505);
  EXPECT_EQ(StatusOfLine("BREW / HTTP/1.1"), 501);
  EXPECT_EQ(StatusOfLine("TRACE / HTTP/1.1"), 501);
  EXPECT_EQ(StatusOfLine("get / HTTP/1.1"), 501);
}

TEST(Head, RefusesTargetsThatAreNotPlainlyOnePath) {
  for (const char* target : {"http://localhost/",
                             "localhost:80",
                             "*",
                             "//x/../y",
                             "/a/..",
                             "/a/%2e%2e/b",
                             "/./a",
                             "/%2E",
                             "/a%2fb",
                             "/a\\b",
                             "/a%5cb",
                             "/a%00",
                             "/a%",
                             "/a%1",
                             "/a%zz",
                             "/a%ff",
                             "/a%c0%af",
                             "/a%0a",
                             "/a%7f",
                             "/a#b",
                             "/a?b=%00",
                             "/a?b=%ff",
                             "/a?b=%g0",
                             "/a?%",
                             "/a b",
                             "/\xc3\xa4"}) {
    EXPECT_EQ(StatusOfLine(fmt::format("GET {} HTTP/1.1", target)), 400) << target;
  }
  EXPECT_EQ(StatusOfLine("GET /..a/b../...?..=/../%0a HTTP/1.1"), 0);
}

TEST(Head, RefusesWhatCouldEndAMessageElsewhere) {
  EXPECT_EQ(StatusOfFields("Content-Length: 5\r\n"), 0);
  EXPECT_EQ(StatusOfFields("Transfer-Encoding: Chunked\r\n"), 0);
  for (const char* lines : {"Content-Length: 5\r\nContent-Length: 5\r\n",
                            "Content-Length: 5\r\nContent-Length: 6\r\n",
                            "Content-Length: 5, 5\r\n",
                            "Content-Length: +5\r\n",
                            "Content-Length: -5\r\n",
                            "Content-Length: 0x5\r\n",
                            "Content-Length: 5 5\r\n",
                            "Content-Length: \r\n",
                            "Content-Length: 99999999999999999999\r\n",
                            "Content-Length: 9223372036854775808\r\n",
                            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                            "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n",
                            "Content-Length : 5\r\n",
                            "Content-Length\t: 5\r\n",
                            " Content-Length: 5\r\n",
                            "X: a\r\n b\r\n",
                            "X: a\r\n\tb\r\n",
                            "X\r\n",
                            ": a\r\n",
                            "X Y: a\r\n",
                            "X\x01: a\r\n",
                            "Host: localhost\r\n",
                            "host: other\r\n",
                            "X: a\n",
                            "X: a\rb\r\n",
                            "X: a\r\r\n",
                            "X: a\x01\r\n",
                            "X: a\x7f\r\n",
                            "Expect: 100-continue\r\nExpect: x\r\n"}) {
    EXPECT_EQ(StatusOfFields(lines), 400) << lines;
  }
  EXPECT_EQ(StatusOfFields(std::string_view("X: a\0b\r\n", 8)), 400);
  for (const char* coding : {"gzip", "chunked, chunked", "gzip, chunked", "chunked;q=1", "identity",
                             "xchunked", "\"chunked\"", "chunked,", ""}) {
    EXPECT_EQ(StatusOfFields(fmt::format("Transfer-Encoding: {}\r\n", coding)), 501) << coding;
  }
  EXPECT_EQ(StatusOf("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(StatusOfFields("Expect: tea\r\n"), 417);
}

TEST(Head, NeedsAHost) {
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.0\r\n\r\n"), 400);
}

TEST(Head, IsRefusedAtItsFirstWrongByte) {
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\n"), 400);
  EXPECT_EQ(StatusOf("\n"), 400);
  EXPECT_EQ(StatusOf("\r\n"), 400);
  EXPECT_EQ(StatusOf("\rG"), 400);
  EXPECT_EQ(StatusOf("\x16\x03\x01"), 400);
  EXPECT_EQ(StatusOf(std::string_view("\0", 1)), 400);
}

TEST(Head, HasBounds) {
  EXPECT_EQ(StatusOfLine("GET /" + std::string(9000, 'a') + " HTTP/1.1"), 414);
  EXPECT_EQ(StatusOf("GET /" + std::string(20000, 'a')), 414);
  EXPECT_EQ(StatusOfFields("X: " + std::string(20000, 'a')), 431);
  std::string lines;
  for (int i = 0; i < 99; ++i) lines += "X: a\r\n";
  EXPECT_EQ(StatusOfFields(lines), 0);
  EXPECT_EQ(StatusOfFields(lines + "X: a\r\n"), 431);
  std::string query = "GET /?";
  for (int i = 0; i < 101; ++i) query += "a&";
  EXPECT_EQ(StatusOfLine(query + " HTTP/1.1"), 414);
}

TEST(Head, SaysWhetherTheConnectionStays) {
  EXPECT_FALSE(Parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n").keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.0\r\nHost: a\r\n\r\n").keep_alive);
  EXPECT_TRUE(Parse("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

}  // namespace
}  // namespace msb::server::http
