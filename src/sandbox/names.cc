#include "src/sandbox/names.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "src/base/sys.h"

namespace msb::sandbox {
namespace {

constexpr size_t kMaxName = 63;

constexpr std::array kManners = {
    "able",   "agile", "amber",  "bold",  "brave", "brisk", "calm",   "clear",  "clever",
    "cosy",   "crisp", "curly",  "deft",  "eager", "early", "fair",   "fancy",  "fond",
    "frank",  "fresh", "glad",   "grand", "happy", "hardy", "jolly",  "keen",   "kind",
    "lively", "lucky", "mellow", "merry", "mild",  "neat",  "nimble", "noble",  "plain",
    "proud",  "quick", "quiet",  "rapid", "ready", "sharp", "shy",    "silver", "sober",
    "solid",  "spry",  "steady", "sunny", "swift", "tidy",  "warm",   "wise",   "witty"};
constexpr std::array kCreatures = {
    "badger", "bat",    "beaver",   "bee",    "bison",   "crane",   "cricket", "deer",  "dove",
    "duck",   "eagle",  "egret",    "elk",    "falcon",  "finch",   "fox",     "gecko", "goose",
    "hare",   "hawk",   "hedgehog", "heron",  "ibex",    "jackdaw", "kiwi",    "koala", "lark",
    "lemur",  "lizard", "lynx",     "magpie", "marten",  "mole",    "moose",   "mouse", "newt",
    "otter",  "owl",    "panda",    "pike",   "puffin",  "quail",   "rabbit",  "raven", "robin",
    "salmon", "seal",   "shrew",    "snail",  "sparrow", "squid",   "stork",   "swan",  "toad",
    "trout",  "turtle", "walrus",   "weasel", "whale",   "wren"};

std::string LinkOf(std::string name) {
  std::ranges::replace(name, '/', '.');
  return name;
}

std::string NameOf(std::string link) {
  std::ranges::replace(link, '.', '/');
  return link;
}

std::string PathOf(const std::string& name) {
  return std::string(kNamesDirectory) + "/" + LinkOf(name);
}

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

bool IsSandboxName(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || !IsAlphanumeric(name.front())) return false;
  return std::ranges::all_of(name,
                             [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_'; });
}

bool IsFullName(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return IsSandboxName(name);
  return IsSandboxName(name.substr(0, slash)) && IsSandboxName(name.substr(slash + 1));
}

std::string FullName(std::string_view name_space, std::string_view name) {
  return fmt::format("{}/{}", name_space, name);
}

std::string_view WithoutNamespace(std::string_view full_name) {
  return full_name.substr(full_name.find('/') + 1);  // npos + 1 is 0
}

std::string MakeUpName(bool salted) {
  std::array<uint8_t, 4> random;
  base::FillRandom(random);
  const auto pick = [](const auto& words, uint8_t high, uint8_t low) {
    return words[static_cast<size_t>(high * 256 + low) % words.size()];
  };
  std::string name = fmt::format("{}-{}", pick(kManners, random[0], random[1]),
                                 pick(kCreatures, random[2], random[3]));
  if (salted) name += "-" + base::RandomHex(2);
  return name;
}

base::Status ReserveName(int parent_fd, const std::string& name, const std::string& id) {
  if (::mkdirat(parent_fd, kNamesDirectory, 0700) < 0 && errno != EEXIST) {
    return base::FailErrno("cannot create the directory of the sandboxes' names");
  }
  if (::symlinkat(id.c_str(), parent_fd, PathOf(name).c_str()) < 0) {
    return base::FailErrno("cannot reserve the name {}", name);
  }
  return {};
}

void ReleaseName(int parent_fd, const std::string& name, const std::string& id) {
  const auto holder = LookUpName(parent_fd, name);
  if (holder && *holder == id) ::unlinkat(parent_fd, PathOf(name).c_str(), 0);
}

void ReleaseDeadNames(int parent_fd) {
  const auto directory = base::OpenFileAt(parent_fd, kNamesDirectory, O_RDONLY | O_DIRECTORY);
  const auto names = directory ? base::ListDirectory(directory->get())
                               : base::Result<std::vector<std::string>>(directory.error());
  if (!names) return;
  for (const std::string& link : *names) {
    const std::string name = NameOf(link);
    const auto id = LookUpName(parent_fd, name);
    if (!id || ::faccessat(parent_fd, id->c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) continue;
    ::unlinkat(parent_fd, PathOf(name).c_str(), 0);
  }
}

base::Result<std::string> LookUpName(int parent_fd, const std::string& name) {
  std::array<char, NAME_MAX> id;
  const ssize_t length =
      IsFullName(name) ? ::readlinkat(parent_fd, PathOf(name).c_str(), id.data(), id.size()) : -1;
  if (length <= 0) {
    return base::Fail(base::ErrorCode::kNotFound, "there is no sandbox {}", name);
  }
  return std::string(id.data(), static_cast<size_t>(length));
}

}  // namespace msb::sandbox
