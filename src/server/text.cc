#include "src/server/text.h"

#include <algorithm>

#include "src/base/bytes.h"

namespace msb::server {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// How long the character is that begins with this byte; 0: none does.
size_t LengthOf(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xf0 && lead < 0xf5) return 4;
  return 0;
}

// How many bytes at the end may be the beginning of a character.
size_t IncompleteAtEnd(std::string_view data) {
  for (size_t back = 1; back <= std::min<size_t>(3, data.size()); ++back) {
    const auto byte = static_cast<unsigned char>(data[data.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    return LengthOf(byte) > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string_view NameOf(OutputStream stream) {
  return stream == OutputStream::kStdout ? "stdout" : "stderr";
}

OutputStream OutputStreamOf(std::string_view name) {
  return name == "stderr" ? OutputStream::kStderr : OutputStream::kStdout;
}

std::string ToUtf8(std::string_view bytes) {
  if (base::IsValidUtf8(bytes)) return std::string(bytes);
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = LengthOf(static_cast<unsigned char>(bytes[at]));
    const std::string_view character = bytes.substr(at, std::max<size_t>(length, 1));
    const bool good = length != 0 && character.size() == length && base::IsValidUtf8(character);
    text += good ? character : kReplacement;
    at += good ? length : 1;
  }
  return text;
}

void OutputLines::Append(OutputStream stream, std::string_view data) {
  Open& open = open_[static_cast<size_t>(stream)];
  while (!data.empty() && !truncated_) {
    const size_t newline = data.find('\n');
    const std::string_view piece = data.substr(0, newline);
    if (bytes_ + piece.size() > kMaxBytes || (!open.line && lines_.size() >= kMaxLines)) {
      truncated_ = true;
      return;
    }
    bytes_ += piece.size();
    if (!open.line) {
      open.line = lines_.size();
      lines_.emplace_back(stream, std::string());
    }
    lines_[*open.line].second += piece;
    if (newline == std::string_view::npos) return;
    open.line.reset();
    data.remove_prefix(newline + 1);
  }
}

void OutputLines::AppendParagraph(OutputStream stream, std::string_view text) {
  open_[static_cast<size_t>(stream)].line.reset();
  Append(stream, text);
  // An empty text is an empty line.
  Append(stream, "\n");
}

std::vector<api::OutputLine> OutputLines::Take() {
  std::vector<api::OutputLine> lines;
  lines.reserve(lines_.size());
  for (const auto& [stream, text] : lines_) {
    lines.push_back({std::string(NameOf(stream)), ToUtf8(text)});
  }
  *this = {};
  return lines;
}

std::string Utf8Pieces::Take(std::string_view data, bool last) {
  std::string piece = std::exchange(held_, {}) + std::string(data);
  if (last) return piece;
  const size_t held = IncompleteAtEnd(piece);
  held_ = piece.substr(piece.size() - held);
  piece.resize(piece.size() - held);
  return piece;
}

api::OutputEvent OutputEventOf(OutputStream stream, std::string data) {
  api::OutputEvent event;
  event.stream = NameOf(stream);
  if (base::IsValidUtf8(data)) {
    event.text = std::move(data);
  } else {
    event.base64 = base::Base64Encode(data);
  }
  return event;
}

}  // namespace msb::server
