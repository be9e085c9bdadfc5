#include "src/server/text.h"

#include <gtest/gtest.h>

#include "src/base/bytes.h"
#include "src/server/json_size.h"

namespace msb::server {
namespace {

std::string Shown(OutputLines& lines) {
  std::string text;
  for (const api::OutputLine& line : lines.Take()) {
    text += fmt::format("[{}:{}]", line.stream.substr(3), line.text);
  }
  return text;
}

TEST(OutputLinesTest, GiveOneEntryALineInTheOrderOfArrival) {
  OutputLines lines;
  lines.Append(OutputStream::kStdout, "a\nb\n");
  lines.Append(OutputStream::kStderr, "e\n");
  lines.Append(OutputStream::kStdout, "c");
  EXPECT_EQ(Shown(lines), "[out:a][out:b][err:e][out:c]");
}

TEST(OutputLinesTest, ALineInPiecesIsOneEvenIfTheOtherStreamComesBetween) {
  OutputLines lines;
  lines.Append(OutputStream::kStdout, "one ");
  lines.Append(OutputStream::kStderr, "err\n");
  lines.Append(OutputStream::kStdout, "line\nnext\n");
  EXPECT_EQ(Shown(lines), "[out:one line][err:err][out:next]");
}

TEST(OutputLinesTest, EmptyLinesAreLines) {
  OutputLines lines;
  lines.Append(OutputStream::kStdout, "\n> x\n\n..\n");
  EXPECT_EQ(Shown(lines), "[out:][out:> x][out:][out:..]");
}

TEST(OutputLinesTest, AParagraphBeginsALineOfItsOwn) {
  OutputLines lines;
  lines.Append(OutputStream::kStdout, "no newline");
  lines.AppendParagraph(OutputStream::kStdout, "42");
  lines.AppendParagraph(OutputStream::kStdout, "");
  lines.Append(OutputStream::kStdout, "after");
  EXPECT_EQ(Shown(lines), "[out:no newline][out:42][out:][out:after]");
}

TEST(OutputLinesTest, WhatIsTooMuchIsLeftOutAndSaid) {
  OutputLines lines;
  lines.Append(OutputStream::kStdout, std::string(OutputLines::kMaxBytes, 'x') + "\n");
  EXPECT_FALSE(lines.truncated());
  lines.Append(OutputStream::kStdout, "more");
  EXPECT_TRUE(lines.truncated());
  EXPECT_EQ(lines.Take().size(), 1u);
}

TEST(TextTest, WhatIsNotUtf8IsReplaced) {
  EXPECT_EQ(ToUtf8("caf\xc3\xa9"), "café");
  EXPECT_EQ(ToUtf8("a\xff\xc3(b"), "a\xef\xbf\xbd\xef\xbf\xbd(b");
  EXPECT_EQ(ToUtf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  EXPECT_EQ(ToUtf8("\xf0\x9f\x98"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // cut short
}

TEST(JsonSizeTest, CountsWhatIsOutsideOfStrings) {
  EXPECT_EQ(CountValues("1"), 1u);
  EXPECT_EQ(CountValues(R"(["a,[:{", "\\",1])"), 4u);
  EXPECT_EQ(CountValues(R"({"a\"":[{}]})"), 5u);
  EXPECT_EQ(CountValues("\"\\"), 1u);  // cut short
  EXPECT_GT(CountValues("[" + std::string(2 * kMaxValues, ',')), kMaxValues);
}

TEST(Utf8PiecesTest, NoPieceEndsWithinACharacter) {
  const std::string text = "aé€😀z";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Pieces pieces;
    const std::string first = pieces.Take(std::string_view(text).substr(0, cut));
    EXPECT_TRUE(base::IsValidUtf8(first)) << cut;
    EXPECT_EQ(first + pieces.Take(std::string_view(text).substr(cut)), text);
    EXPECT_EQ(pieces.Take("", /*last=*/true), "");
  }
}

TEST(Utf8PiecesTest, BytesThatAreNoTextAreNotHeldBackForEver) {
  Utf8Pieces pieces;
  EXPECT_EQ(pieces.Take("\xff\xfe"), "\xff\xfe");
  EXPECT_EQ(pieces.Take("\x80\x80\x80\x80"), "\x80\x80\x80\x80");
  EXPECT_EQ(pieces.Take("x\xe2\x82"), "x");
  EXPECT_EQ(pieces.Take("", /*last=*/true), "\xe2\x82");
}

TEST(OutputEventTest, IsBase64WhereItIsNoText) {
  EXPECT_EQ(OutputEventOf(OutputStream::kStderr, "x").text, "x");
  const api::OutputEvent event = OutputEventOf(OutputStream::kStdout, "\xff");
  EXPECT_FALSE(event.text);
  EXPECT_EQ(event.base64, "/w==");
}

}  // namespace
}  // namespace msb::server
