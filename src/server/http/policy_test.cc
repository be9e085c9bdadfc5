#include "src/server/http/policy.h"

#include <gtest/gtest.h>

namespace msb::server::http {
namespace {

int StatusOfHost(std::string_view host, const Policy& policy = {},
                 std::string_view local = "127.0.0.1") {
  const auto accepted = CheckHost(policy, host, local);
  return accepted ? 0 : accepted.error().status;
}

int StatusOfOrigin(std::string_view host, std::string_view origin, const Policy& policy = {}) {
  Request request;
  request.headers = {{"host", std::string(host)}, {"origin", std::string(origin)}};
  const auto accepted = CheckOrigin(policy, request);
  return accepted ? 0 : accepted.error().status;
}

TEST(Policy, AnswersToLoopbackNamesOnly) {
  for (const char* host : {"localhost", "LocalHost:5555", "localhost.", "127.0.0.1:5555",
                           "127.9.8.7", "[::1]", "[::1]:5555"}) {
    EXPECT_EQ(StatusOfHost(host), 0) << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                           "10.0.0.1", "0.0.0.0", "[::2]", "notlocalhost", "127.1", "2130706433"}) {
    EXPECT_EQ(StatusOfHost(host), 403) << host;
  }
  for (const char* host : {"", ":80", "localhost:", "localhost:x", "localhost:99999", "a b", "a/b",
                           "u@localhost", "[::1", "::1", "[localhost]", "localhost:80:80", "a,b"}) {
    EXPECT_EQ(StatusOfHost(host), 400) << host;
  }
}

TEST(Policy, AnswersToItsOwnAddressAndTheNamesItWasGiven) {
  EXPECT_EQ(StatusOfHost("192.168.1.2:5555", {}, "192.168.1.2"), 0);
  EXPECT_EQ(StatusOfHost("192.168.1.3:5555", {}, "192.168.1.2"), 403);
  EXPECT_EQ(StatusOfHost("[fe80::1]:5555", {}, "fe80::1"), 0);
  const Policy policy = {.host_names = {"sandbox.example"}, .cors_origins = {}};
  EXPECT_EQ(StatusOfHost("Sandbox.Example:443", policy), 0);
  EXPECT_EQ(StatusOfHost("x.sandbox.example", policy), 403);
}

TEST(Policy, AForeignOriginIsRefused) {
  EXPECT_EQ(StatusOfOrigin("localhost:5555", "http://localhost:5555"), 0);
  EXPECT_EQ(StatusOfOrigin("localhost:5555", "https://localhost:5555"), 0);
  EXPECT_EQ(StatusOfOrigin("sandbox.example", "https://sandbox.example"), 0);
  EXPECT_EQ(StatusOfOrigin("sandbox.example:443", "https://sandbox.example"), 0);
  for (const char* origin :
       {"null", "", "http://evil.example", "http://localhost", "http://localhost:3000",
        "http://127.0.0.1:5555", "file://", "file://localhost:5555", "http://localhost:5555/",
        "http://localhost:5555 http://evil.example", "http://localhost:5555@evil.example"}) {
    EXPECT_EQ(StatusOfOrigin("localhost:5555", origin), 403) << origin;
  }
}

TEST(Policy, AnAllowedOriginMayReadTheAnswer) {
  const Policy policy = {.host_names = {}, .cors_origins = {"http://localhost:3000"}};
  EXPECT_EQ(StatusOfOrigin("localhost:5555", "http://localhost:3000", policy), 0);
  EXPECT_EQ(StatusOfOrigin("localhost:5555", "http://localhost:3001", policy), 403);
  Request request;
  request.headers = {{"host", "localhost:5555"}, {"origin", "http://localhost:3000"}};
  EXPECT_EQ(CorsHeaders(policy, request).size(), 3u);
  request.headers[1].second = "http://localhost:3001";
  EXPECT_EQ(CorsHeaders(policy, request).size(), 1u);  // Vary
  EXPECT_TRUE(CorsHeaders({}, request).empty());
}

TEST(Policy, TwoOriginsAreNone) {
  Request request;
  request.headers = {
      {"host", "localhost"}, {"origin", "http://localhost"}, {"origin", "http://evil.example"}};
  EXPECT_FALSE(CheckOrigin({}, request));
}

TEST(Policy, JsonMustSaySo) {
  Request request;
  EXPECT_FALSE(CheckJsonType(request));
  for (const char* type : {"application/json", "Application/JSON; charset=utf-8"}) {
    request.headers = {{"content-type", type}};
    EXPECT_TRUE(CheckJsonType(request)) << type;
  }
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "text/json",
                           "multipart/form-data; a=application/json", "application/jsonp"}) {
    request.headers = {{"content-type", type}};
    EXPECT_FALSE(CheckJsonType(request)) << type;
  }
  // A published client says it twice.
  request.headers = {{"content-type", "application/json"}, {"content-type", "application/json"}};
  EXPECT_TRUE(CheckJsonType(request));
  request.headers = {{"content-type", "application/json"}, {"content-type", "text/plain"}};
  EXPECT_FALSE(CheckJsonType(request));
}

TEST(Policy, OptionsOfTheCommandLineAreChecked) {
  EXPECT_EQ(*ParseHostName("Sandbox.Example"), "sandbox.example");
  EXPECT_FALSE(ParseHostName("sandbox.example:80"));
  EXPECT_FALSE(ParseHostName("http://x"));
  EXPECT_EQ(*ParseOrigin("HTTP://App.Example:80"), "http://app.example");
  EXPECT_FALSE(ParseOrigin("app.example"));
  EXPECT_FALSE(ParseOrigin("http://app.example/"));
  EXPECT_FALSE(ParseOrigin("*"));
  EXPECT_FALSE(ParseOrigin("null"));
}

}  // namespace
}  // namespace msb::server::http
