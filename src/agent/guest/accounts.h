// Who a process runs as: "user[:group]" of an image config, looked up in passwd(5) and group(5).
//
// The files are the image's, and so foreign: lines that make no sense are skipped, numbers are
// range-checked, nothing is trusted to end. Pure functions; any thread. Rules as in other container
// engines: a name is looked up first, a number need not be listed; without ":group" the primary
// group is the user's (0 if it is not listed) and the supplementary groups are those that list the
// user; with it there are none.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"

namespace msb::agent {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  std::string home = "/";
};

using UserLookup = std::function<base::Result<Identity>(std::string_view user)>;

inline constexpr size_t kMaxAccountFile = 4 * 1024 * 1024;
inline constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX

// Errors: kNotFound, naming the user or the group that is unknown.
base::Result<Identity> ResolveUser(std::string_view user, std::string_view passwd,
                                   std::string_view group);

// Reads the two files where they are needed; a missing one is an empty one.
base::Result<Identity> ResolveUserIn(std::string_view user, const std::string& passwd_path,
                                     const std::string& group_path);

}  // namespace msb::agent
