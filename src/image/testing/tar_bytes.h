// Tars written byte by byte, right or wrong, for tests. Knows nothing of the product's own writer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace msb::image::testing {

struct RawHeader {
  char type = '0';
  std::string name{};
  std::string link{};
  std::string mode = "0000644";
  std::string uid = "0000000";
  std::string gid = "0000000";
  std::string size{};  // empty: of the content
  std::string mtime = "00000000000";
  std::string major = "0000000";
  std::string minor = "0000000";
  std::string magic = std::string("ustar\00000", 8);
  std::string tail{};      // from byte 345 on: the prefix, or what GNU puts there
  std::string checksum{};  // empty: the right one
};

class TarBytes {
 public:
  using Records = std::vector<std::pair<std::string, std::string>>;

  TarBytes& Add(const RawHeader& header, std::string_view content = "");
  TarBytes& File(const std::string& name, std::string_view content);
  TarBytes& Directory(const std::string& name, const std::string& mode = "0000755");
  TarBytes& Symlink(const std::string& name, const std::string& target);
  TarBytes& HardLink(const std::string& name, const std::string& target);
  TarBytes& Pax(const Records& records, char type = 'x');
  TarBytes& GnuLong(char type, const std::string& text);  // 'L' or 'K'
  TarBytes& Raw(std::string_view bytes);
  std::string End() const;  // with the two blocks of zeroes
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string PaxRecord(const std::string& key, const std::string& value);
std::string Gzip(std::string_view data);
std::string Zstd(std::string_view data);

}  // namespace msb::image::testing
