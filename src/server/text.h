// Output of programs as text: for clients that get lines, and for those that get it piece by piece.
// Foreign bytes become valid UTF-8. Values; one thread.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/server/api/run.h"

namespace msb::server {

enum class OutputStream { kStdout, kStderr };
std::string_view NameOf(OutputStream stream);
OutputStream OutputStreamOf(std::string_view name);  // anything but "stderr" is stdout

// What is not UTF-8 becomes U+FFFD.
std::string ToUtf8(std::string_view bytes);

// Gathers lines of both streams, each where its first byte arrived.
class OutputLines {
 public:
  static constexpr size_t kMaxBytes = 8 * 1024 * 1024;
  static constexpr size_t kMaxLines = 200'000;

  void Append(OutputStream stream, std::string_view data);
  // A text of its own: the stream begins a line before it, and ends it.
  void AppendParagraph(OutputStream stream, std::string_view text);
  void Truncate() { truncated_ = true; }  // nothing more is kept
  bool truncated() const { return truncated_; }
  std::vector<api::OutputLine> Take();

 private:
  struct Open {
    std::optional<size_t> line;  // the one that has not ended
  };
  std::vector<std::pair<OutputStream, std::string>> lines_;
  std::array<Open, 2> open_;
  size_t bytes_ = 0;
  bool truncated_ = false;
};

// Cuts a stream into pieces that do not end within a character of UTF-8.
class Utf8Pieces {
 public:
  // What can be said now; a beginning of a character is held back, unless `last`.
  std::string Take(std::string_view data, bool last = false);

 private:
  std::string held_;  // at most three bytes
};

// A piece as an event: text if it is UTF-8, else base64.
api::OutputEvent OutputEventOf(OutputStream stream, std::string data);

}  // namespace msb::server
