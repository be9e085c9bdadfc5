#include "src/image/testing/tar_bytes.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "src/base/result.h"

namespace msb::image::testing {

TarBytes& TarBytes::Add(const RawHeader& header, std::string_view content) {
  std::string block(512, '\0');
  const auto put = [&](size_t at, size_t length, std::string_view text) {
    std::memcpy(block.data() + at, text.data(), std::min(length, text.size()));
  };
  put(0, 100, header.name);
  put(100, 8, header.mode);
  put(108, 8, header.uid);
  put(116, 8, header.gid);
  put(124, 12, header.size.empty() ? fmt::format("{:011o}", content.size()) : header.size);
  put(136, 12, header.mtime);
  block[156] = header.type;
  put(157, 100, header.link);
  put(257, 8, header.magic);
  put(329, 8, header.major);
  put(337, 8, header.minor);
  put(345, 167, header.tail);
  put(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<uint8_t>(c);
  put(148, 8, header.checksum.empty() ? fmt::format("{:06o}", sum) + '\0' : header.checksum);
  return Raw(block).Raw(content).Raw(std::string((512 - content.size() % 512) % 512, '\0'));
}

TarBytes& TarBytes::File(const std::string& name, std::string_view content) {
  return Add({.name = name}, content);
}

TarBytes& TarBytes::Directory(const std::string& name, const std::string& mode) {
  return Add({.type = '5', .name = name, .mode = mode});
}

TarBytes& TarBytes::Symlink(const std::string& name, const std::string& target) {
  return Add({.type = '2', .name = name, .link = target});
}

TarBytes& TarBytes::HardLink(const std::string& name, const std::string& target) {
  return Add({.type = '1', .name = name, .link = target});
}

TarBytes& TarBytes::Pax(const Records& records, char type) {
  std::string data;
  for (const auto& [key, value] : records) data += PaxRecord(key, value);
  return Add({.type = type, .name = "PaxHeaders/x"}, data);
}

TarBytes& TarBytes::GnuLong(char type, const std::string& text) {
  return Add({.type = type, .name = "././@LongLink", .magic = std::string("ustar  \0", 8)},
             text + '\0');
}

TarBytes& TarBytes::Raw(std::string_view bytes) {
  bytes_ += bytes;
  return *this;
}

std::string TarBytes::End() const { return bytes_ + std::string(1024, '\0'); }

std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string body = " " + key + "=" + value + "\n";
  size_t length = body.size() + 1;
  while (std::to_string(length).size() + body.size() != length) ++length;
  return std::to_string(length) + body;
}

std::string Gzip(std::string_view data) {
  z_stream stream = {};
  CHECK(::deflateInit2(&stream, 6, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(::deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string Zstd(std::string_view data) {
  std::string out(::ZSTD_compressBound(data.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

}  // namespace msb::image::testing
