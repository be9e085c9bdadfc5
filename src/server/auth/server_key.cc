#include "src/server/auth/server_key.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/sys.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kMaxKeyBytes = 4096;

base::Result<std::string> ReadOwn(const base::UniqueFd& file) {
  const struct stat status = TRY(base::Stat(file.get()));
  if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    return Fail(ErrorCode::kDenied,
                "{} must be a file of your own that nobody else can read: chmod 600 it, and if "
                "others may have read it make another with msb server start --reset-key",
                kKeyFile);
  }
  return CheckKey(TRY(base::ReadToEnd(file.get(), kMaxKeyBytes)));
}

}  // namespace

base::Result<std::string> CheckKey(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.size() < kMinKeyBytes || text.size() > kMaxKeyBytes ||
      !std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; })) {
    return Fail(ErrorCode::kInvalid,
                "it is no key: a server's key is one line of {} characters or more, without blanks "
                "(openssl rand -hex 32)",
                kMinKeyBytes);
  }
  return text;
}

std::string MakeKey() { return base::RandomHex(kMinKeyBytes); }

base::Result<std::string> LoadKey(int home_fd) {
  const base::UniqueFd file =
      TRY(base::OpenBeneath(home_fd, kKeyFile, O_RDONLY | O_NONBLOCK, 0, base::kResolveNoSymlinks));
  return ReadOwn(file);
}

base::Result<std::string> LoadOrCreateKey(int home_fd) {
  auto found = LoadKey(home_fd);
  if (found || found.error().code() != ErrorCode::kNotFound) return found;
  const base::UniqueFd made =
      TRY(base::OpenUnnamed(fmt::format("/proc/self/fd/{}", home_fd), 0600));
  TRY(base::WriteFull(made.get(), MakeKey() + "\n"));
  const base::Status linked = base::LinkUnnamed(made.get(), home_fd, kKeyFile);
  if (!linked && linked.error().code() != ErrorCode::kExists) return linked.error();
  return LoadKey(home_fd);  // which may be another's, who was faster
}

base::Status StoreKey(int home_fd, const std::string& key) {
  return base::ReplaceFileAt(home_fd, kKeyFile, key + "\n", 0600, /*durable=*/true);
}

}  // namespace msb::server
