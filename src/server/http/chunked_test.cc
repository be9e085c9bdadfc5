#include "src/server/http/chunked.h"

#include <gtest/gtest.h>

namespace msb::server::http {
namespace {

// Fed `piece` bytes at a time; what follows the body stays. "!" for a refusal, "…" for an early
// end.
std::string Decode(std::string_view bytes, size_t piece, size_t most = 1000) {
  const ConnectionLimits limits;
  ChunkDecoder decoder(limits);
  std::string out;
  size_t fed = std::min(piece, bytes.size());
  size_t at = 0;
  while (!decoder.done()) {
    const auto step = decoder.Decode(bytes.substr(at, fed - at), most);
    if (!step) return "!";
    EXPECT_LE(step->content.size(), most);
    out += step->content;
    at += step->consumed;
    if (step->consumed > 0 || decoder.done()) continue;
    if (fed == bytes.size()) return out + "…";
    fed = std::min(fed + piece, bytes.size());
  }
  return out + std::string(bytes.substr(at, 4));
}

TEST(ChunkDecoder, GivesTheContentHoweverItComes) {
  for (const size_t piece : {1, 2, 3, 7, 1000}) {
    for (const size_t most : {1, 2, 1000}) {
      EXPECT_EQ(Decode("4\r\nabcd\r\n0a;n=\"v\"\r\n0123456789\r\n0\r\nT: u\r\n\r\n", piece, most),
                "abcd0123456789");
    }
  }
  EXPECT_EQ(Decode("0\r\n\r\nGET /", 1000), "GET ");
}

TEST(ChunkDecoder, RefusesWhatIsNotPlainlyAChunk) {
  for (const char* bytes :
       {"\r\n", "x\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", "1 \r\n", "1\n", "1\r1",
        "1\r\nab", "1\r\na\n", "1\r\na\rb", "1000000000000000\r\n", ";x\r\n", "0\r\nno colon\r\n",
        "0\r\n folded: x\r\n", "0\r\nA : x\r\n", "0\r\n\n", "1;\x01\r\n"}) {
    EXPECT_EQ(Decode(bytes, 1000), "!") << bytes;
    EXPECT_EQ(Decode(bytes, 1), "!") << bytes;
  }
}

TEST(ChunkDecoder, BoundsExtensionsAndTrailers) {
  EXPECT_EQ(Decode("1;" + std::string(1000, 'x'), 1), "!");
  std::string trailer = "0\r\n";
  for (int i = 0; i < 1000; ++i) trailer += "Name: value\r\n";
  EXPECT_EQ(Decode(trailer, 1000), "!");
  EXPECT_EQ(Decode("5\r\nab", 1), "ab…");
}

}  // namespace
}  // namespace msb::server::http
