#include "src/image/convert_jail.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>

#include "src/image/convert_protocol.h"

namespace msb::image {
namespace {

TEST(ConvertJail, TheListCompilesAndEveryCallHasAReason) {
  EXPECT_TRUE(jail::CompileSeccomp(ConvertSystemCalls(), jail::Otherwise::kKillProcess));
  for (const jail::Allowed& allowed : ConvertSystemCalls()) EXPECT_STRNE(allowed.reason, "");
}

TEST(ConvertJail, NothingReachesPathsSocketsOrProcesses) {
  for (const int call :
       {__NR_open, __NR_openat, __NR_openat2, __NR_socket, __NR_connect, __NR_clone, __NR_fork,
        __NR_execve, __NR_execveat, __NR_ptrace, __NR_sendmsg, __NR_recvmsg, __NR_ioctl, __NR_fcntl,
        __NR_mprotect, __NR_prctl, __NR_io_uring_setup}) {
    EXPECT_TRUE(std::ranges::none_of(ConvertSystemCalls(), [&](const auto& allowed) {
      return allowed.call == call;
    })) << call;
  }
}

TEST(ConvertJail, AReportIsBoundedEscapedAndKeepsItsKind) {
  const base::Error error(base::ErrorCode::kLimit, "entry '\033[2J'" + std::string(100000, 'x'));
  const std::string report = EncodeFailure(error);
  EXPECT_LE(report.size(), kMaxReport);
  EXPECT_EQ(DecodeFailure(report).code(), base::ErrorCode::kLimit);
  EXPECT_EQ(DecodeFailure(report).message().find('\033'), std::string::npos);
}

TEST(ConvertJail, AReportThatIsNoneIsAnErrorToo) {
  for (const char* report : {"", "{}x", "[]", R"({"code":99,"message":"m"})", R"({"code":-1})"}) {
    EXPECT_EQ(DecodeFailure(report).code(), base::ErrorCode::kCorrupt) << report;
  }
}

}  // namespace
}  // namespace msb::image
