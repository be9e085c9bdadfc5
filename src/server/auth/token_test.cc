#include "src/server/auth/token.h"

#include <gtest/gtest.h>

#include "src/server/auth/authenticator.h"

namespace msb::server {
namespace {

constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";
constexpr int64_t kNow = 1'700'000'000;

Claims MakeClaims() {
  Claims claims;
  claims.exp = kNow + 100;
  claims.iat = kNow;
  claims.namespace_ = "team";
  return claims;
}

// HS256 of {"typ":"JWT","alg":"HS256"}.{"exp":1700000100,"iat":1700000000,"namespace":"*"},
// computed with another implementation.
constexpr std::string_view kForeign =
    "msb_eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9."
    "eyJleHAiOjE3MDAwMDAxMDAsImlhdCI6MTcwMDAwMDAwMCwibmFtZXNwYWNlIjoiKiJ9"
    ".AtTMRx1IO3vvn9ldR5ObLszA8E5SnaMDvjPaJuUsqJM";

TEST(Token, SaysWhatWasPutIn) {
  Claims claims = MakeClaims();
  claims.jti = "id";
  claims.images = {"python:*"};
  claims.limits = LimitClaims{.sandboxes = 3, .memory_mib = 1024, .cpus = {}, .disk_mib = {}};
  const auto parsed = ParseToken(MakeToken(claims, kKey), kKey, kNow);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->exp, claims.exp);
  EXPECT_EQ(parsed->namespace_, "team");
  EXPECT_EQ(parsed->jti, "id");
  EXPECT_EQ(parsed->images, claims.images);
  EXPECT_EQ(parsed->limits->sandboxes, 3u);
  EXPECT_EQ(parsed->limits->cpus, std::nullopt);
}

TEST(Token, ThoseOfOtherImplementationsAreTaken) {
  const auto parsed = ParseToken(kForeign, kKey, kNow);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->namespace_, "*");
}

TEST(Token, ExpiresOnTime) {
  const std::string token = MakeToken(MakeClaims(), kKey);
  EXPECT_TRUE(ParseToken(token, kKey, kNow + 99));
  EXPECT_FALSE(ParseToken(token, kKey, kNow + 100));
}

TEST(Token, IsForOneKeyOnly) {
  EXPECT_FALSE(
      ParseToken(MakeToken(MakeClaims(), "another key, as long as the first"), kKey, kNow));
}

TEST(Token, NoBitOfItCanBeChanged) {
  const std::string token = MakeToken(MakeClaims(), kKey);
  for (size_t i = 0; i < token.size(); ++i) {
    for (const char c : {'A', 'b', '.', '=', '_', '\0'}) {
      std::string changed = token;
      if (changed[i] == c) continue;
      changed[i] = c;
      EXPECT_FALSE(ParseToken(changed, kKey, kNow)) << i;
    }
    EXPECT_FALSE(ParseToken(token.substr(0, i), kKey, kNow)) << i;
  }
  EXPECT_FALSE(ParseToken(token + "=", kKey, kNow));
  EXPECT_FALSE(ParseToken(token + ".x", kKey, kNow));
  EXPECT_FALSE(ParseToken(token.substr(4), kKey, kNow));
}

// With our key, but: alg none, HS512, hs256, absent; headers that are none; crit; claims that are
// missing or of wrong types.
TEST(Token, ASignatureIsNotEnough) {
  for (const char* token : {
           "msb_eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioifQ.-HgG_"
           "qlhjb2g5U7TNINhrOxd9iG8hHOupQmhzsLhD8o",
           "msb_eyJhbGciOiJIUzUxMiJ9.eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioifQ."
           "5rPLOgptmRv163mlJVcJ7fGoOklxKJNQenTgbi8qjY8",
           "msb_eyJhbGciOiJoczI1NiJ9.eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioifQ."
           "p7skqlIDwSsKDOaQ05_pzWuSTVuINf3pnHeu4j0kwj8",
           "msb_e30.eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioifQ.nrZvGreeU3HQW4ArMShnIj9ofba-"
           "dA2ujqrN1a9cSLc",
           "msb_W10.eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioifQ."
           "XvRETUBwkkcU3rFpBYW2KCgLvVw4AAuyf3WB7_HK4DQ",
           "msb_eA.eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioifQ."
           "4bdArA19gwlr6TvByNDMygYV4h9KLT8WmGIolU_3mU8",
           "msb_eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ."
           "eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioifQ.f50Vqh1yd6UQWCDC3LMm74J5P1rhQka-gFZym-"
           "5fSKk",
           "msb_eyJhbGciOiJIUzI1NiJ9.e30.x68P15GCa1HmSDdw4rVLsw6ZdUMyLZHfITcI3kWE3Eg",
           "msb_eyJhbGciOiJIUzI1NiJ9.W10.gTRev3k9zXjLbfcAmchRlNLxwcS8AFlKyJE28g3w7aE",
           "msb_eyJhbGciOiJIUzI1NiJ9..TRtun0q7kd1S_YIlAO0C2-RKTHswJ1vYKghfV_hyIRc",
           "msb_eyJhbGciOiJIUzI1NiJ9.eyJuYW1lc3BhY2UiOiIqIn0.BCFyqcZsrAjNR_"
           "A1IIU1kpBwJWaGXXOYNb3mlmvEL2U",
           "msb_eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDAwMDAxMDB9.fA7zsHiFLEXkM7nP_"
           "yzBZi4ml9FjkkUE9fBxSgrIpwk",
           "msb_eyJhbGciOiJIUzI1NiJ9.eyJleHAiOiIxNzAwMDAwMTAwIiwibmFtZXNwYWNlIjoiKiJ9."
           "d7AM44bROrKoXgxi7bO3RvTXi-zeyjC_SuEVTGpTR7Y",
           "msb_eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjFlMzAwLCJuYW1lc3BhY2UiOiIqIn0.LIbNGdagpYDWqHgZsQT_"
           "zwnV8ghXqRHm2aHqh10q2cE",
           "msb_eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6WyIqIl19.bmcNDl6nnC-"
           "PQJphvpneQlD4me2oqQxi23JgoIPPPsg",
           "msb_eyJhbGciOiJIUzI1NiJ9."
           "eyJleHAiOjE3MDAwMDAxMDAsIm5hbWVzcGFjZSI6IioiLCJpbWFnZXMiOiJ4In0.Uoo2CSGSsm6pv5O_Udx5Nw_"
           "8Om4SGJ1Oen7jo1ZRJYM",
       }) {
    EXPECT_FALSE(ParseToken(token, kKey, kNow)) << token;
  }
}

TEST(Token, ANamespaceMustBeOne) {
  for (const char* name : {"", "a/b", "**", "-a", ".."}) {
    Claims claims = MakeClaims();
    claims.namespace_ = name;
    EXPECT_FALSE(ParseToken(MakeToken(claims, kKey), kKey, kNow)) << name;
  }
}

// --- the headers it comes in ---------------------------------------------------------------------

http::Request With(http::Headers headers) {
  http::Request request;
  request.headers = std::move(headers);
  return request;
}

std::string Current() {
  Claims claims = MakeClaims();
  claims.exp = INT64_MAX;
  return MakeToken(claims, kKey);
}

TEST(Authenticator, ReadsEitherHeaderWithAndWithoutItsScheme) {
  const Authenticator authenticate{std::string(kKey)};
  for (const char* header : {"authorization", "proxy-authorization"}) {
    for (const char* scheme : {"", "Bearer ", "bearer "}) {
      const auto caller = authenticate(With({{header, scheme + Current()}}));
      ASSERT_TRUE(caller) << header << scheme;
      EXPECT_EQ(caller->namespace_, "team");
      EXPECT_EQ(caller->images, std::vector<std::string>{"*"});
      EXPECT_FALSE(caller->key_id.empty());
    }
  }
}

TEST(Authenticator, TheProxysHeaderComesFirst) {
  const Authenticator authenticate{std::string(kKey)};
  EXPECT_TRUE(authenticate(With({{"authorization", "x"}, {"proxy-authorization", Current()}})));
  EXPECT_FALSE(authenticate(With({{"authorization", Current()}, {"proxy-authorization", "x"}})));
}

TEST(Authenticator, SaysWhetherAKeyIsMissingOrWrong) {
  const Authenticator authenticate{std::string(kKey)};
  EXPECT_EQ(authenticate(With({})).error().code, 1001);
  EXPECT_EQ(authenticate(With({{"authorization", ""}})).error().code, 1001);
  EXPECT_EQ(authenticate(With({{"authorization", "Bearer x"}})).error().code, 1004);
  EXPECT_EQ(
      authenticate(With({{"authorization", Current()}, {"authorization", Current()}})).error().code,
      1004);
  Claims old = MakeClaims();
  old.exp = 1;
  const auto expired = authenticate(With({{"authorization", MakeToken(old, kKey)}}));
  EXPECT_EQ(expired.error().status, 401);
  EXPECT_EQ(expired.error().code, 1004);
  EXPECT_NE(expired.error().message.find("expired"), std::string::npos);
}

TEST(Authenticator, WithoutKeysEverybodyIsNobodyInParticular) {
  EXPECT_EQ(Authenticator(std::nullopt)(With({{"authorization", "nonsense"}}))->key_id, "dev");
}

}  // namespace
}  // namespace msb::server
