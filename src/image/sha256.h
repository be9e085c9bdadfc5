// SHA-256, the only hash of images. A value that one thread uses.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "src/base/result.h"

struct SHA256state_st;

namespace msb::image {

using Sha256Sum = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  void Update(std::string_view data);
  Sha256Sum Finish();  // once

 private:
  std::unique_ptr<SHA256state_st> state_;
};

std::string ToDigest(const Sha256Sum& sum);  // "sha256:…"
std::string DigestOf(std::string_view data);

struct HashedFile {
  std::string digest;
  uint64_t bytes = 0;
};
// Of a whole regular file, from its beginning, whatever the descriptor's position.
base::Result<HashedFile> HashFile(int fd);

}  // namespace msb::image
