#include "src/image/convert_jail.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include "src/image/layer_index.h"

namespace msb::image {
namespace {

const jail::Allowed kAllowed[] = {
    {__NR_read, "the layer, from a pipe or a file; the indexes"},
    {__NR_write, "blob, index, metadata; the report"},
    {__NR_pread64, "the first block of the metadata, for its checksum"},
    {__NR_pwrite64, "headers, known only at the end"},
    {__NR_lseek, "holes of sparse files"},
    {__NR_ftruncate, "holes at the end of the blob"},
    {__NR_brk, "malloc"},
    {__NR_mmap, "malloc, large blocks"},
    {__NR_munmap, "free"},
    {__NR_mremap, "realloc"},
    {__NR_madvise, "free, giving pages back"},
    {__NR_futex, "one-time initialization in the C++ library"},
    {__NR_exit_group, "the end"},
    {__NR_rt_sigprocmask, "abort, on a broken invariant"},
    {__NR_getpid, "abort"},
    {__NR_gettid, "abort"},
    {__NR_tgkill, "abort"},
};

}  // namespace

std::span<const jail::Allowed> ConvertSystemCalls() { return kAllowed; }

std::vector<jail::Limit> ConvertLimits() {
  constexpr rlim_t kMiB = 1 << 20;
  return {
      // 4 million entries with their indexes; typically 20 MiB
      jail::AtMost(RLIMIT_AS, 6144 * kMiB),
      jail::AtMost(RLIMIT_DATA, 6144 * kMiB),
      jail::AtMost(RLIMIT_CPU, 3600),  // 64 GiB of gzip, several times
      jail::AtMost(RLIMIT_FSIZE, kMaxBlobBytes),
      {RLIMIT_NOFILE, 512},  // the largest descriptor number it is given
      {RLIMIT_CORE, 0},      // a dump could hold an image's secrets
  };
}

base::Status EnterConvertSeccomp() {
  const auto program =
      TRY(jail::CompileSeccomp(ConvertSystemCalls(), jail::Otherwise::kKillProcess));
  return jail::InstallSeccomp(program);
}

}  // namespace msb::image
