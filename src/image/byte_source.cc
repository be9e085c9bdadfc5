#include "src/image/byte_source.h"

#include <zlib.h>
#include <zstd.h>

#include <utility>
#include <vector>

#include "src/base/sys.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kChunk = 256 * 1024;
constexpr int kMaxWindowLog = 27;

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(int fd) : fd_(fd), buffer_(kChunk) {}

  base::Result<std::string_view> Next() override {
    if (!pushed_back_.empty()) return std::exchange(pushed_back_, {});
    const size_t got = TRY(base::Read(fd_, std::as_writable_bytes(std::span(buffer_))));
    consumed_ += got;
    return std::string_view(buffer_.data(), got);
  }
  uint64_t consumed() const override { return consumed_; }

  // The first bytes, up to `length` or the end, to be returned again by Next.
  base::Result<std::string_view> Peek(size_t length) {
    size_t have = 0;
    while (have < length) {
      const auto room = std::as_writable_bytes(std::span(buffer_).subspan(have));
      const size_t got = TRY(base::Read(fd_, room));
      if (got == 0) break;
      have += got;
    }
    consumed_ += have;
    pushed_back_ = std::string_view(buffer_.data(), have);
    return pushed_back_;
  }

 private:
  int fd_;
  std::vector<char> buffer_;
  std::string_view pushed_back_;
  uint64_t consumed_ = 0;
};

// What gzip and zstd have in common: input pieces in, output pieces out, and zeroes at most after
// the last member.
class Decompressor : public ByteSource {
 public:
  explicit Decompressor(std::unique_ptr<ByteSource> input)
      : input_(std::move(input)), output_(kChunk) {}

  base::Result<std::string_view> Next() override {
    for (;;) {
      if (in_.empty()) in_ = TRY(input_->Next());
      const bool at_end = in_.empty();
      if (!in_member_ && (at_end || !TRY(BeginMember()))) {
        if (at_end) return std::string_view();
        in_ = {};
        continue;
      }
      const size_t made = TRY(Step());  // at the end of the input: what the decoder still holds
      if (made > 0) return std::string_view(output_.data(), made);
      if (at_end && in_member_) return Fail(ErrorCode::kCorrupt, "compressed data is cut short");
    }
  }
  uint64_t consumed() const override { return input_->consumed(); }

 protected:
  // Decompresses from in_ into output_; returns bytes made; clears in_member_ at a member's end.
  virtual base::Result<size_t> Step() = 0;
  virtual bool StartsMember(std::string_view bytes) const = 0;
  virtual void Begin() = 0;

  std::unique_ptr<ByteSource> input_;
  std::string_view in_;
  std::vector<char> output_;
  bool in_member_ = false;

 private:
  // False if what there is now is padding.
  base::Result<bool> BeginMember() {
    padding_ = padding_ || in_.front() == '\0';
    if (padding_ ? in_.find_first_not_of('\0') != std::string_view::npos : !StartsMember(in_)) {
      return Fail(ErrorCode::kCorrupt, "bytes that are not compressed data follow it");
    }
    if (padding_) return false;
    Begin();
    in_member_ = true;
    return true;
  }

  bool padding_ = false;
};

class GzipSource : public Decompressor {
 public:
  using Decompressor::Decompressor;
  ~GzipSource() override {
    if (initialized_) ::inflateEnd(&stream_);
  }

 protected:
  bool StartsMember(std::string_view bytes) const override { return bytes.front() == '\x1f'; }

  void Begin() override {
    constexpr int kGzipWithLargestWindow = 16 + 15;
    const int result =
        initialized_ ? ::inflateReset(&stream_) : ::inflateInit2(&stream_, kGzipWithLargestWindow);
    CHECK(result == Z_OK);
    initialized_ = true;
  }

  base::Result<size_t> Step() override {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in_.data()));
    stream_.avail_in = static_cast<uInt>(in_.size());
    stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
    stream_.avail_out = static_cast<uInt>(output_.size());
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    in_.remove_prefix(in_.size() - stream_.avail_in);
    if (result == Z_STREAM_END) {
      in_member_ = false;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return Fail(ErrorCode::kCorrupt, "gzip: {}",
                  stream_.msg != nullptr ? stream_.msg : "damaged data");
    }
    return output_.size() - stream_.avail_out;
  }

 private:
  z_stream stream_ = {};
  bool initialized_ = false;
};

class ZstdSource : public Decompressor {
 public:
  explicit ZstdSource(std::unique_ptr<ByteSource> input)
      : Decompressor(std::move(input)), stream_(::ZSTD_createDCtx()) {
    CHECK(stream_ != nullptr);
    ::ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kMaxWindowLog);
  }
  ~ZstdSource() override { ::ZSTD_freeDCtx(stream_); }

 protected:
  // Frames begin with 28 b5 2f fd, skippable ones with 5? 2a 4d 18. The library checks the rest.
  bool StartsMember(std::string_view bytes) const override {
    return bytes.front() == '\x28' || (bytes.front() & 0xf0) == 0x50;
  }

  void Begin() override { ::ZSTD_DCtx_reset(stream_, ZSTD_reset_session_only); }

  base::Result<size_t> Step() override {
    ZSTD_inBuffer in = {in_.data(), in_.size(), 0};
    ZSTD_outBuffer out = {output_.data(), output_.size(), 0};
    const size_t result = ::ZSTD_decompressStream(stream_, &out, &in);
    if (::ZSTD_isError(result)) {
      return Fail(ErrorCode::kCorrupt, "zstd: {}", ::ZSTD_getErrorName(result));
    }
    in_.remove_prefix(in.pos);
    in_member_ = result != 0;
    return out.pos;
  }

 private:
  ZSTD_DCtx* stream_;
};

}  // namespace

base::Result<std::unique_ptr<ByteSource>> OpenSource(int fd) {
  auto plain = std::make_unique<PlainSource>(fd);
  const std::string_view start = TRY(plain->Peek(6));
  using std::literals::operator""sv;
  if (start.starts_with("\x1f\x8b"sv)) return std::make_unique<GzipSource>(std::move(plain));
  const bool skippable =
      start.size() >= 4 && start.substr(1, 3) == "\x2a\x4d\x18"sv && (start.front() & 0xf0) == 0x50;
  if (start.starts_with("\x28\xb5\x2f\xfd"sv) || skippable) {
    return std::make_unique<ZstdSource>(std::move(plain));
  }
  if (start.starts_with("\xfd"
                        "7zXZ"sv)) {
    return Fail(ErrorCode::kUnsupported, "compressed with xz: use gzip or zstd");
  }
  if (start.starts_with("BZh"sv)) {
    return Fail(ErrorCode::kUnsupported, "compressed with bzip2: use gzip or zstd");
  }
  return plain;
}

}  // namespace msb::image
