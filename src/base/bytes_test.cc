#include "src/base/bytes.h"

#include <gtest/gtest.h>

namespace msb::base {
namespace {

TEST(Utf8Test, AcceptsEverySequenceLength) {
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
}

TEST(Utf8Test, RefusesOverlongSurrogateTruncatedAndTooLarge) {
  for (const char* text : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                           "\xe2\x82", "\x80", "\xff", "\xf0\x80\x80\x80"}) {
    EXPECT_FALSE(IsValidUtf8(text)) << EscapeForTerminal(text);
  }
}

TEST(Base64Test, RoundTripsEveryLength) {
  std::string data;
  for (int i = 0; i < 70; ++i) {
    const std::string text = Base64Encode(data);
    EXPECT_EQ(text.size() % 4, 0u);
    EXPECT_EQ(Base64Decode(text), data);
    data += static_cast<char>(i * 37);
  }
}

TEST(Base64Test, MatchesTheVectorsOfRfc4648) {
  EXPECT_EQ(Base64Encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64Encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(Base64Encode("foob"), "Zm9vYg==");
}

TEST(Base64Test, RefusesWhatIsNotCanonical) {
  for (const char* text :
       {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Zm 9", "Zg==Zg=="}) {
    EXPECT_EQ(Base64Decode(text), std::nullopt) << text;
  }
}

TEST(HexTest, RoundTripsAndRefusesOddOrForeign) {
  EXPECT_EQ(HexDecode("00fFa5"), std::string("\x00\xff\xa5", 3));
  EXPECT_EQ(HexDecode("0"), std::nullopt);
  EXPECT_EQ(HexDecode("0g"), std::nullopt);
  const uint8_t bytes[] = {0, 255, 0xa5};
  EXPECT_EQ(HexEncode(bytes), "00ffa5");
}

TEST(EscapeTest, LeavesTextAndDisarmsWhatATerminalObeys) {
  EXPECT_EQ(EscapeForTerminal("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(EscapeForTerminal("a\x1b[31mb\r\n\t"), "a\\x1b[31mb\\x0d\\n\\t");
  EXPECT_EQ(EscapeForTerminal("a\xe2\x80\xae"
                              "b"),
            "a\\xe2\\x80\\xae"
            "b");
  EXPECT_EQ(EscapeForTerminal("\xc2\x9b\x7f\xff"), "\\xc2\\x9b\\x7f\\xff");
}

}  // namespace
}  // namespace msb::base
