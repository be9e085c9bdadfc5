#include "src/server/http/chunked.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "src/server/http/head.h"

namespace msb::server::http {
namespace {

constexpr size_t kMaxSizeDigits = 15;  // of 60 bits: sums of lengths cannot overflow

bool IsLineText(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

}  // namespace

Accepted<std::optional<std::string_view>> ChunkDecoder::Line(std::string_view bytes,
                                                             size_t most) const {
  const auto end = std::ranges::find_if_not(bytes, IsLineText);
  const auto length = static_cast<size_t>(end - bytes.begin());
  if (length > most) return Refuse(400, "a line of the chunked body is longer than {} bytes", most);
  const std::string_view rest = bytes.substr(length);
  if (rest.empty() || rest == "\r") return std::nullopt;
  if (!rest.starts_with("\r\n")) {
    return Refuse(400, "a line of the chunked body does not end in CR LF");
  }
  return bytes.substr(0, length);
}

Accepted<ChunkDecoder::Step> ChunkDecoder::DecodeSize(std::string_view bytes) {
  const auto line = Line(bytes, limits_->chunk_line_bytes);
  if (!line) return std::unexpected(line.error());
  if (!*line) return Step{};
  const std::string_view digits = (*line)->substr(0, (*line)->find(';'));
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  const bool whole = end == digits.data() + digits.size() && error == std::errc();
  if (!whole || digits.empty() || digits.size() > kMaxSizeDigits) {
    return Refuse(400, "a chunk's size is not a hexadecimal number");
  }
  state_ = left_ == 0 ? State::kTrailer : State::kContent;
  return Step{.consumed = (*line)->size() + 2, .content = {}};
}

Accepted<ChunkDecoder::Step> ChunkDecoder::DecodeContentEnd(std::string_view bytes) {
  if (bytes.empty() || bytes == "\r") return Step{};
  if (!bytes.starts_with("\r\n")) return Refuse(400, "a chunk is not as long as it says");
  state_ = State::kSize;
  return Step{.consumed = 2, .content = {}};
}

Accepted<ChunkDecoder::Step> ChunkDecoder::DecodeTrailer(std::string_view bytes) {
  const auto line = Line(bytes, limits_->trailer_bytes - trailer_bytes_);
  if (!line) return std::unexpected(line.error());
  if (!*line) return Step{};
  const std::string_view text = **line;
  if (text.empty()) {
    state_ = State::kDone;
  } else if (!IsToken(text.substr(0, text.find(':'))) || text.find(':') == text.npos) {
    return Refuse(400, "a trailer line is not NAME: VALUE");
  }
  trailer_bytes_ += text.size();
  return Step{.consumed = text.size() + 2, .content = {}};
}

Accepted<ChunkDecoder::Step> ChunkDecoder::Decode(std::string_view bytes, size_t most) {
  switch (state_) {
    case State::kSize:
      return DecodeSize(bytes);
    case State::kContentEnd:
      return DecodeContentEnd(bytes);
    case State::kTrailer:
      return DecodeTrailer(bytes);
    case State::kDone:
      return Step{};
    case State::kContent:
      break;
  }
  const std::string_view content =
      bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(left_, most)));
  left_ -= content.size();
  if (left_ == 0) state_ = State::kContentEnd;
  return Step{.consumed = content.size(), .content = content};
}

}  // namespace msb::server::http
