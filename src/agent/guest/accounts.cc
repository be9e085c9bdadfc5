#include "src/agent/guest/accounts.h"

#include <fcntl.h>

#include <array>
#include <charconv>
#include <optional>

#include "src/base/sys.h"

namespace msb::agent {
namespace {

// A decimal number that can be an id: (uid_t)-1 means "leave unchanged" to the kernel.
std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (failure != std::errc() || end != text.data() + text.size() || id == ~uint32_t{0}) {
    return std::nullopt;
  }
  return id;
}

template <typename Visit>  // bool(line): false ends
void ForEachLine(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (!visit(text.substr(0, end))) return;
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

// The first N fields; the last of them is the rest of the line. None if there are fewer.
template <size_t N>
std::optional<std::array<std::string_view, N>> Split(std::string_view line) {
  std::array<std::string_view, N> fields;
  for (size_t i = 0; i + 1 < N; ++i) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    fields[i] = line.substr(0, colon);
    line.remove_prefix(colon + 1);
  }
  fields[N - 1] = line;
  return fields;
}

struct User {
  std::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string_view home;
};

// name:password:uid:gid:comment:home:shell
std::optional<User> ParseUser(std::string_view line) {
  const auto fields = Split<7>(line);
  if (!fields || (*fields)[0].empty()) return std::nullopt;
  const auto uid = ParseId((*fields)[2]);
  const auto gid = ParseId((*fields)[3]);
  if (!uid || !gid) return std::nullopt;
  return User{(*fields)[0], *uid, *gid, (*fields)[5]};
}

struct Group {
  std::string_view name;
  uint32_t gid = 0;
  std::string_view members;
};

// name:password:gid:member,member
std::optional<Group> ParseGroup(std::string_view line) {
  const auto fields = Split<4>(line);
  if (!fields || (*fields)[0].empty()) return std::nullopt;
  const auto gid = ParseId((*fields)[2]);
  if (!gid) return std::nullopt;
  return Group{(*fields)[0], *gid, (*fields)[3]};
}

bool Lists(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    const size_t comma = members.find(',');
    if (members.substr(0, comma) == name) return true;
    if (comma == std::string_view::npos) return false;
    members.remove_prefix(comma + 1);
  }
  return false;
}

std::optional<User> FindUser(std::string_view wanted, std::string_view passwd) {
  const auto id = ParseId(wanted);
  std::optional<User> by_name;
  std::optional<User> by_id;
  ForEachLine(passwd, [&](std::string_view line) {
    const auto user = ParseUser(line);
    if (user && user->name == wanted) by_name = user;
    if (user && id && user->uid == *id && !by_id) by_id = user;
    return !by_name;
  });
  return by_name ? by_name : by_id;
}

std::optional<uint32_t> FindGroup(std::string_view wanted, std::string_view group) {
  std::optional<uint32_t> gid;
  ForEachLine(group, [&](std::string_view line) {
    const auto parsed = ParseGroup(line);
    if (parsed && parsed->name == wanted) gid = parsed->gid;
    return !gid;
  });
  return gid ? gid : ParseId(wanted);
}

std::vector<gid_t> GroupsOf(std::string_view name, std::string_view group) {
  std::vector<gid_t> groups;
  ForEachLine(group, [&](std::string_view line) {
    const auto parsed = ParseGroup(line);
    if (parsed && Lists(parsed->members, name)) groups.push_back(parsed->gid);
    return groups.size() < kMaxGroups;
  });
  return groups;
}

base::Result<std::string> ReadAccounts(const std::string& path) {
  // Not blocking: the file is the workload's to replace, by a FIFO for example.
  auto fd = base::OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd) {
    if (fd.error().code() == base::ErrorCode::kNotFound) return std::string();
    return std::move(fd).error();
  }
  return base::ReadToEnd(fd->get(), kMaxAccountFile).WithContext(path);
}

}  // namespace

base::Result<Identity> ResolveUser(std::string_view user, std::string_view passwd,
                                   std::string_view group) {
  const size_t colon = user.find(':');
  std::string_view name = user.substr(0, colon);
  if (name.empty()) name = "0";
  Identity identity;
  const auto found = FindUser(name, passwd);
  if (found) {
    identity.uid = found->uid;
    identity.gid = found->gid;
    if (!found->home.empty()) identity.home = found->home;
  } else if (const auto id = ParseId(name)) {
    identity.uid = *id;
  } else {
    return base::Fail(base::ErrorCode::kNotFound, "no user {} in /etc/passwd of the image", name);
  }
  if (colon == std::string_view::npos) {
    if (found) identity.groups = GroupsOf(found->name, group);
    return identity;
  }
  const std::string_view group_name = user.substr(colon + 1);
  const auto gid = FindGroup(group_name, group);
  if (!gid) {
    return base::Fail(base::ErrorCode::kNotFound, "no group {} in /etc/group of the image",
                      group_name);
  }
  identity.gid = *gid;
  return identity;
}

base::Result<Identity> ResolveUserIn(std::string_view user, const std::string& passwd_path,
                                     const std::string& group_path) {
  const std::string passwd = TRY(ReadAccounts(passwd_path));
  const std::string group = TRY(ReadAccounts(group_path));
  return ResolveUser(user, passwd, group);
}

}  // namespace msb::agent
