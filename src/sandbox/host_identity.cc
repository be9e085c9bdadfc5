#include "src/sandbox/host_identity.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

constexpr uid_t kPreferredBase = 0x70000000;  // far from users, subordinate ids and nobody
constexpr uid_t kSlots = 4096;
constexpr const char* kSlotDirectory = "/run/msb/uid";

}  // namespace

base::Result<uid_t> ChooseIdBase(std::string_view uid_map, uid_t preferred, uid_t count) {
  uint64_t best_first = 0;
  uint64_t best_length = 0;
  const std::string text(uid_map);
  const char* at = text.c_str();
  unsigned long first, outside, length;
  for (int used = 0; std::sscanf(at, "%lu %lu %lu%n", &first, &outside, &length, &used) == 3;
       at += used) {
    if (first <= preferred && preferred + uint64_t{count} <= first + length) return preferred;
    if (length > best_length) {
      best_first = first;
      best_length = length;
    }
  }
  // The lower half of a small range is where its users live.
  if (best_length < 2 * uint64_t{count}) {
    return base::Fail(base::ErrorCode::kLimit,
                      "root here has only {} user ids, too few to give each sandbox one of its own "
                      "(a container without a full id range?). Run msb as an ordinary user",
                      best_length);
  }
  return static_cast<uid_t>(best_first + best_length - count - 1);  // the last id is often nobody's
}

base::Result<HostIdentity> TakeHostIdentity() {
  HostIdentity identity;
  identity.uid = ::geteuid();
  identity.gid = ::getegid();
  if (identity.uid != 0) return identity;

  const uid_t first = TRY(
      ChooseIdBase(TRY(base::ReadFile("/proc/self/uid_map", 64 * 1024)), kPreferredBase, kSlots));
  TRY(base::MakeDirectories(kSlotDirectory, 0700));
  const base::UniqueFd directory =
      TRY(base::OpenFile(kSlotDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  for (uid_t slot = 0; slot < kSlots; ++slot) {
    base::UniqueFd file = TRY(base::OpenFileAt(directory.get(), fmt::format("{}", slot),
                                               O_RDONLY | O_CREAT | O_NOFOLLOW, 0600));
    const base::Status locked = base::TryLockDescriptor(file.get());
    if (!locked && locked.error().code() == base::ErrorCode::kBusy) continue;
    TRY(base::Status(locked));
    identity.uid = first + slot;
    identity.gid = first + slot;
    identity.lock = std::move(file);
    return identity;
  }
  return base::Fail(base::ErrorCode::kLimit, "all {} sandbox identities are in use", kSlots);
}

}  // namespace msb::sandbox
