#include "src/server/key_limits.h"

#include "src/server/config.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

// What a limit is of: in words, and what of a configuration asks for less of it ("": nothing does).
struct Limited {
  const char* one;
  const char* many;
  const char* field;
};

constexpr Limited kSandboxes = {"sandbox", "sandboxes", ""};
constexpr Limited kMemory = {"MiB of memory", "MiB of memory", "config.memory"};
constexpr Limited kCpus = {"CPU", "CPUs", "config.cpus"};
constexpr Limited kDisk = {"MiB of disk", "MiB of disk", "config.disk"};

const char* Are(uint64_t count) { return count == 1 ? "is" : "are"; }

// What a limit has left.
base::Status CheckLimit(const std::optional<uint64_t>& limit, uint64_t used, uint64_t wanted,
                        const Limited& what) {
  if (!limit || used + wanted <= *limit) return {};
  const std::string may =
      fmt::format("this key may use {} {} at once", *limit, *limit == 1 ? what.one : what.many);
  const bool less_fits = *what.field != '\0' && used < *limit;
  const std::string less = less_fits ? fmt::format("ask for less ({}), or ", what.field) : "";
  if (used == 0) {
    return Fail(ErrorCode::kLimit, "{}, and {} {} wanted: {}{} a key with a higher limit", may,
                wanted, Are(wanted), less, less_fits ? "for" : "ask for");
  }
  return Fail(ErrorCode::kLimit,
              "{}, {} of which {} in use, and {} more {} wanted: stop or remove a sandbox, {}{} a "
              "key with a higher limit",
              may, used, Are(used), wanted, Are(wanted), less, less_fits ? "for" : "or ask for");
}

}  // namespace

bool HasLimits(const Caller& caller) {
  const Limits& limits = caller.limits;
  return limits.sandboxes || limits.memory_mib || limits.cpus || limits.disk_mib;
}

base::Status CheckLimits(const SandboxKey& key, const api::Config& config, const Caller& caller,
                         const std::vector<Listed>& listed,
                         const std::map<SandboxKey, Reservation>& starting) {
  const Limits& limits = caller.limits;
  uint64_t sandboxes = 0, memory_mib = 0, cpus = 0, disk_mib = 0;
  const auto count = [&](const api::Config& other, bool running) {
    disk_mib += DiskBytes(other) >> 20;
    if (!running) return;
    sandboxes += 1;
    memory_mib += MemoryBytes(other) >> 20;
    cpus += Cpus(other);
  };
  for (const Listed& one : listed) {
    if (one.key == key || starting.contains(one.key)) continue;
    if (!one.stored) {
      return Fail(ErrorCode::kCorrupt,
                  "what {} is made of cannot be read, so the limits of this key cannot be checked: "
                  "remove it (sandbox.remove)",
                  caller.MayUseNamespace(one.key.namespace_) ? "sandbox " + one.key.FullName()
                                                             : "a sandbox of another namespace");
    }
    if (one.stored->key_id == caller.key_id) {
      count(one.stored->config, one.running());
    }
  }
  for (const auto& [other, reservation] : starting) {
    if (reservation.key_id == caller.key_id) count(reservation.config, /*running=*/true);
  }
  TRY(CheckLimit(limits.sandboxes, sandboxes, 1, kSandboxes));
  TRY(CheckLimit(limits.memory_mib, memory_mib, MemoryBytes(config) >> 20, kMemory));
  TRY(CheckLimit(limits.cpus, cpus, Cpus(config), kCpus));
  return CheckLimit(limits.disk_mib, disk_mib, DiskBytes(config) >> 20, kDisk);
}

}  // namespace msb::server
