// The streaming interface of OpenSSL 3 drags its provider machinery into static executables; the
// plain functions are the same assembly without it.
#define OPENSSL_API_COMPAT 0x10100000L
#include "src/image/sha256.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <vector>

#include "src/base/bytes.h"
#include "src/base/sys.h"

namespace msb::image {

Sha256::Sha256() : state_(std::make_unique<SHA256_CTX>()) { ::SHA256_Init(state_.get()); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;

void Sha256::Update(std::string_view data) {
  ::SHA256_Update(state_.get(), data.data(), data.size());
}

Sha256Sum Sha256::Finish() {
  Sha256Sum sum;
  ::SHA256_Final(sum.data(), state_.get());
  return sum;
}

std::string ToDigest(const Sha256Sum& sum) { return "sha256:" + base::HexEncode(sum); }

std::string DigestOf(std::string_view data) {
  Sha256 hash;
  hash.Update(data);
  return ToDigest(hash.Finish());
}

base::Result<HashedFile> HashFile(int fd) {
  Sha256 hash;
  HashedFile file;
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(file.bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::FailErrno("read failed");
    if (got == 0) break;
    hash.Update({buffer.data(), static_cast<size_t>(got)});
    file.bytes += static_cast<uint64_t>(got);
  }
  file.digest = ToDigest(hash.Finish());
  return file;
}

}  // namespace msb::image
