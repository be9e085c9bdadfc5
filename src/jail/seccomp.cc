#include "src/jail/seccomp.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "src/base/sys.h"

namespace msb::jail {

base::Result<std::vector<sock_filter>> CompileSeccomp(std::span<const Allowed> list,
                                                      Otherwise otherwise) {
  const uint32_t refuse =
      otherwise == Otherwise::kErrno ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS;
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(refuse),
                                                                 &seccomp_release);
  CHECK(filter != nullptr);
  // A call by another ABI (int $0x80) is refused like any other: KILL, the library's default, would
  // beat the trap of a filter below and leave a line in the host's audit log for each.
  CHECK(seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, refuse) == 0);
  // A binary tree over the call numbers: the guest's page faults pass through this filter.
  CHECK(seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0);
  for (const Allowed& allowed : list) {
    std::vector<scmp_arg_cmp> conditions;
    for (const ArgumentRule& rule : allowed.only) {
      conditions.push_back({rule.index, SCMP_CMP_MASKED_EQ, rule.mask, rule.value});
    }
    const int added =
        seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, allowed.call,
                               static_cast<unsigned>(conditions.size()), conditions.data());
    if (added < 0) {
      return base::Fail(base::ErrorCode::kSystem, "seccomp: cannot allow call {} ({}): {}",
                        allowed.call, allowed.reason, base::ErrnoText(-added));
    }
  }
  const base::UniqueFd memory = TRY(base::CreateMemFd("seccomp"));
  if (const int exported = seccomp_export_bpf(filter.get(), memory.get()); exported < 0) {
    return base::Fail(base::ErrorCode::kSystem, "seccomp: cannot compile the filter: {}",
                      base::ErrnoText(-exported));
  }
  const auto size = static_cast<size_t>(TRY(base::Stat(memory.get())).st_size);
  std::vector<sock_filter> program(size / sizeof(sock_filter));
  TRY(base::PreadFull(memory.get(), std::as_writable_bytes(std::span(program)), 0));
  return program;
}

base::Status InstallSeccomp(std::span<const sock_filter> program) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return base::FailErrno("cannot set no_new_privs");
  }
  const sock_fprog filter = {static_cast<unsigned short>(program.size()),
                             const_cast<sock_filter*>(program.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
    return base::FailErrno("cannot install the seccomp filter");
  }
  return {};
}

}  // namespace msb::jail
