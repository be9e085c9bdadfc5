#include <gtest/gtest.h>
#include <sys/resource.h>

#include "src/cli/findings.h"

namespace msb::cli {
namespace {

TEST(HostLimitsTest, NoLimitsAreFine) {
  EXPECT_EQ(CheckHostLimits([](int) { return RLIM_INFINITY; }).verdict, Verdict::kOk);
}

TEST(HostLimitsTest, EveryLimitThatIsTooLowIsNamedWithItsRemedy) {
  const struct {
    int resource;
    const char* name;
    const char* remedy;
  } kCases[] = {{RLIMIT_NOFILE, "RLIMIT_NOFILE is 10", "ulimit -H -n"},
                {RLIMIT_NPROC, "RLIMIT_NPROC is 10", "ulimit -H -u"},
                {RLIMIT_FSIZE, "RLIMIT_FSIZE is 10", "ulimit -H -f"},
                {RLIMIT_AS, "RLIMIT_AS is 10", "ulimit -H -v"},
                {RLIMIT_DATA, "RLIMIT_DATA is 10", "ulimit -H -d"}};
  for (const auto& one : kCases) {
    const Finding finding = CheckHostLimits(
        [&](int resource) -> uint64_t { return resource == one.resource ? 10 : RLIM_INFINITY; });
    EXPECT_EQ(finding.verdict, Verdict::kMissing);
    EXPECT_NE(finding.text.find(one.name), std::string::npos) << finding.text;
    EXPECT_NE(finding.fix.find(one.remedy), std::string::npos) << finding.fix;
  }
}

TEST(HostLimitsTest, SeveralAreToldAtOnce) {
  const Finding finding = CheckHostLimits([](int) -> uint64_t { return 1; });
  EXPECT_NE(finding.text.find("RLIMIT_NOFILE"), std::string::npos);
  EXPECT_NE(finding.text.find("RLIMIT_STACK"), std::string::npos);
}

}  // namespace
}  // namespace msb::cli
