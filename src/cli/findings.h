// Finding: what `msb doctor` has looked at, what it saw, what to do about it. The checks of the
// host that take more than a few lines have files of their own. Values.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace msb::cli {

enum class Verdict { kOk, kNote, kMissing };
BOOST_DESCRIBE_ENUM(Verdict, kOk, kNote, kMissing)

struct Finding {
  std::string name;
  Verdict verdict = Verdict::kOk;
  std::string text;
  std::string fix;  // empty: nothing to do
};
BOOST_DESCRIBE_STRUCT(Finding, (), (name, verdict, text, fix))

// check_home.cc: whether the home can be used, or made.
Finding CheckHome();

// check_limits.cc: whether this process's hard resource limits leave room for a sandbox of the
// default size. `hard` answers for RLIMIT_*.
Finding CheckHostLimits();
Finding CheckHostLimits(const std::function<uint64_t(int resource)>& hard);

}  // namespace msb::cli
