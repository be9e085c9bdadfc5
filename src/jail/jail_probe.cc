// What a jailed process can still do: run by jail_test inside a jail, answers by its exit code.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace {

bool NoCapabilities() {
  for (int capability = 0; capability < 40; ++capability) {
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) return false;
  }
  return mount("tmpfs", "/", "tmpfs", 0, nullptr) < 0 && errno == EPERM;
}

bool OnlyGranted() {
  for (int fd = 3; fd < 4096; ++fd) {
    if ((fcntl(fd, F_GETFD) >= 0) != (fd == 7)) return false;
  }
  return true;
}

const std::map<std::string, bool (*)()> kProbes = {
    {"identity", [] { return getuid() == 1000 && getegid() == 1000 && getppid() == 0; }},
    {"first_process", [] { return getpid() == 1; }},
    {"no_capabilities", NoCapabilities},
    {"only_granted", OnlyGranted},
    {"no_files",
     [] {
       return access("/proc", F_OK) < 0 && access("/dev", F_OK) < 0 && access("/bin", F_OK) < 0;
     }},
    {"read_only", [] { return open("/x", O_CREAT | O_WRONLY, 0600) < 0 && errno == EROFS; }},
    {"populated", [] { return access("/given", R_OK) == 0; }},
    {"no_new_privileges", [] { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1; }},
    {"signals_default", [] { return signal(SIGTERM, SIG_DFL) == SIG_DFL; }},
    {"limited",
     [] {
       rlimit limit;
       getrlimit(RLIMIT_NOFILE, &limit);
       return limit.rlim_cur == 64 && limit.rlim_max == 64;
     }},
    {"sockets_refused", [] { return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM; }},
    {"waits",
     [] {
       char byte;
       return read(7, &byte, 1) == 0;
     }},
};

}  // namespace

int main(int, char** argv) {
  const auto probe = kProbes.find(argv[1]);
  return probe != kProbes.end() && probe->second() ? 0 : 1;
}
