#include "src/image/tar_stream.h"

#include <algorithm>
#include <cstring>

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

// A stream that expands further than this is a bomb, not an image: the first bytes are free, and
// text, programs and even long runs of zeroes stay below the factor.
constexpr uint64_t kFreeExpansion = uint64_t{1} << 30;
constexpr uint64_t kMaxExpansionFactor = 300;

base::Error CutShort() { return Fail(ErrorCode::kCorrupt, "the tar is cut short"); }

}  // namespace

base::Result<bool> TarStream::Fill() {
  if (!piece_.empty()) return true;
  piece_ = TRY(source_.Next());
  if (piece_.empty()) return false;
  fetched_ += piece_.size();
  if (fetched_ > max_bytes_) {
    return Fail(ErrorCode::kLimit, "expands to more than the limit of {} MiB", max_bytes_ >> 20);
  }
  if (fetched_ > kFreeExpansion &&
      (fetched_ - kFreeExpansion) / kMaxExpansionFactor > source_.consumed()) {
    return Fail(ErrorCode::kLimit, "expands to more than {} times its compressed size",
                kMaxExpansionFactor);
  }
  return true;
}

base::Result<bool> TarStream::ReadRecord(std::span<char> out) {
  if (!TRY(Fill())) return false;
  while (!out.empty()) {
    const std::string_view part = TRY(ReadSome(out.size()));
    std::memcpy(out.data(), part.data(), part.size());
    out = out.subspan(part.size());
  }
  return true;
}

base::Result<std::string_view> TarStream::ReadSome(uint64_t max) {
  if (!TRY(Fill())) return CutShort();
  const std::string_view part = piece_.substr(0, std::min<uint64_t>(max, piece_.size()));
  piece_.remove_prefix(part.size());
  position_ += part.size();
  return part;
}

base::Status TarStream::Skip(uint64_t bytes) {
  while (bytes > 0) bytes -= TRY(ReadSome(bytes)).size();
  return {};
}

base::Status TarStream::Drain() {
  while (TRY(Fill())) {
    position_ += piece_.size();
    piece_ = {};
  }
  return {};
}

}  // namespace msb::image
