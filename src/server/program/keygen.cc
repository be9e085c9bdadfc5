// msb server keygen: an API key.
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/server/auth/server_key.h"
#include "src/server/program/commands.h"

namespace msb::server {
namespace {

// What --json prints.
struct MadeKey {
  std::string token;
  std::string expires;
  std::string id;
  std::string namespace_;
  std::vector<std::string> images;
  LimitClaims limits;
};
BOOST_DESCRIBE_STRUCT(MadeKey, (), (token, expires, id, namespace_, images, limits))

base::Status CheckPattern(const std::string& pattern) {
  constexpr size_t kMax = 512;
  const bool fine = !pattern.empty() && pattern.size() <= kMax &&
                    std::ranges::all_of(pattern, [](char c) { return c > 0x20 && c < 0x7f; });
  if (fine) return {};
  return base::Fail(base::ErrorCode::kInvalid,
                    "--allow-image \"{}\": it must be an image's name, in which * stands for "
                    "anything",
                    pattern);
}

std::string Rfc3339(int64_t seconds) {
  const time_t time = seconds;
  std::tm parts = {};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> text = {};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

void Print(const MadeKey& key) {
  std::printf("Token: %s\nToken expires: %s\nNamespace: %s\n", key.token.c_str(),
              key.expires.c_str(), key.namespace_.c_str());
  std::printf("Images: %s\n", fmt::format("{}", fmt::join(key.images, ", ")).c_str());
  const auto limit = [](const char* name, std::optional<uint64_t> value, const char* unit) {
    if (value) std::puts(fmt::format("{}: at most {}{}", name, *value, unit).c_str());
  };
  limit("Sandboxes", key.limits.sandboxes, "");
  limit("Memory", key.limits.memory_mib, " MiB");
  limit("CPUs", key.limits.cpus, "");
  limit("Disk", key.limits.disk_mib, " MiB");
}

}  // namespace

base::Status RunKeygen(const KeygenOptions& options) {
  for (const std::string& pattern : options.images) TRY(CheckPattern(pattern));
  const base::UniqueFd home =
      TRY(base::OpenHome(TRY(base::ResolveHome()), base::HomeMode::kCreate));
  const std::string server_key = TRY(LoadOrCreateKey(home.get()));
  constexpr uint64_t kMillis = 1000;
  constexpr size_t kIdBytes = 8;
  Claims claims;
  claims.iat = ::time(nullptr);
  claims.exp = claims.iat + static_cast<int64_t>((options.expire_ms + kMillis - 1) / kMillis);
  claims.namespace_ = options.namespace_;
  claims.jti = base::RandomHex(kIdBytes);
  if (!options.images.empty()) claims.images = options.images;
  const LimitClaims& limits = options.limits;
  if (limits.sandboxes || limits.memory_mib || limits.cpus || limits.disk_mib) {
    claims.limits = limits;
  }
  MadeKey made;
  made.token = MakeToken(claims, server_key);
  made.expires = Rfc3339(claims.exp);
  made.id = *claims.jti;
  made.namespace_ = claims.namespace_;
  made.images = claims.images.value_or(std::vector<std::string>{"*"});
  made.limits = limits;
  if (options.json) {
    std::puts(base::json::WritePretty(base::json::Encode(made)).c_str());
  } else {
    Print(made);
  }
  return {};
}

}  // namespace msb::server
