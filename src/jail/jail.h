// Jail: starts one process with nothing but what it is given.
//
// Level full (DESIGN.md, "Jails"): new user, pid, mount, net, ipc, uts and cgroup namespaces; an
// empty tmpfs root without /proc and /dev; one mapped identity; no capabilities, none to be had
// (no_new_privs, securebits, empty bounding set); resource limits; a seccomp allow-list. Every
// descriptor that is not granted is closed. The caller is the direct parent and must be
// single-threaded (the child runs our code until it executes the program).
//
// When the caller dies, the child is killed (PR_SET_PDEATHSIG), and with it its pid namespace.
#pragma once

#include <linux/filter.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::jail {

// A descriptor of the caller, present in the child under the number `at` (0 to 511). 0, 1 and 2 are
// /dev/null unless granted.
struct FdGrant {
  int fd;
  int at;
};

struct Limit {
  int resource;  // RLIMIT_*
  rlim_t value;  // soft and hard
};

// How people call a limit: its name in C, and the option of a shell's ulimit.
struct LimitText {
  const char* name;
  const char* ulimit;
};
LimitText TextOfLimit(int resource);

// A limit that only bounds what may go wrong: where the caller may not have as much, what it may.
Limit AtMost(int resource, rlim_t value);

// The jail's root: a tmpfs, its only file system.
struct Root {
  uint64_t size_bytes = 64 * 1024;
  uint32_t inodes = 16;
  bool huge_pages = false;  // mounted huge=within_size where the host allows it
  bool writable = false;    // else remounted read-only before the program starts
  // Runs in the child, working directory = the new root, with the capabilities of the new user
  // namespace: creates files and sockets. An Error ends the child and is returned by Spawn.
  std::function<base::Status()> populate;
};

struct JailSpec {
  std::string name;        // for messages; also the uts host name
  int executable_fd = -1;  // static ELF; executed by descriptor, not reachable in the root
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::vector<FdGrant> fds;
  uid_t host_uid = 0;  // what the process is on the host; inside it is always kInsideId
  gid_t host_gid = 0;
  Root root;
  std::vector<Limit> limits;
  // The one CPU it runs on; absent, or if the host has taken it away meanwhile: wherever the caller
  // may.
  std::optional<int> cpu;
  bool fixed_address_layout =
      false;  // personality(ADDR_NO_RANDOMIZE): UML re-executes itself otherwise
  // Installed last, inherited by the program: must allow execveat. Empty: the program installs its
  // own with InstallSeccomp once it has started.
  std::vector<sock_filter> seccomp;
};

inline constexpr uid_t kInsideId = 1000;

struct Child {
  pid_t pid = -1;  // in the caller's pid namespace; the process is PID 1 in its own
  base::UniqueFd pid_fd;
};

// Returns once the program has been executed. Errors: kDenied if the host refuses namespaces (the
// message says what to do), else what failed, by step. Nothing is left behind on an error.
base::Result<Child> Spawn(const JailSpec& spec);

// What of level full this host can do for the current user; an Error names the first thing that is
// refused.
base::Status ProbeFull();

}  // namespace msb::jail
