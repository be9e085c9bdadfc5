// The init of the kernel tests: mounts what they need, runs the tests that the kernel command line
// names (tests=a,b), each in a process of its own, prints "@pass NAME" or "@fail NAME" and powers
// off.
//
// A set-user-ID copy of this program is the one that the tests start, see stubs.cc.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "guest.h"
#include "programs.h"

namespace guest {
namespace {

struct Test {
  const char* name;
  void (*body)();
};

constexpr Test kTests[] = {
    {"anonymous", Anonymous},
    {"copy_on_write", CopyOnWrite},
    {"heap_and_stack", HeapAndStack},
    {"sparse_memory", SparseMemory},
    {"mapped_file", MappedFile},
    {"changed_code", ChangedCode},
    {"threads", Threads},
    {"large_folio_pages", LargeFolioPages},
    {"prot_none", ProtNone},
    {"remap_table", RemapTable},
    {"out_of_memory", OutOfMemory},
    {"memory_model", MemoryModel},
    {"random_touch", RandomTouch},
    {"many_at_once", ManyAtOnce},
    {"fork_beyond_limit", ForkBeyondLimit},
    {"fresh_registers", FreshRegisters},
    {"set_user_id_exec", SetUserIdExec},
    {"stub_death", StubDeath},
    {"stub_death_under_vfork", StubDeathUnderVfork},
    {"starved_stub", StarvedStub},
    {"pooled_stub_death", PooledStubDeath},
    {"host_process_limit", HostProcessLimit},
    {"lost_wakeup", LostWakeup},
};

void MountFileSystems() {
  for (const char* directory : {"/proc", "/sys", "/dev", "/tmp"}) mkdir(directory, 0755);
  mount("proc", "/proc", "proc", 0, "");
  mount("sysfs", "/sys", "sysfs", 0, "");
  mount("devtmpfs", "/dev", "devtmpfs", 0, "");
  mount("tmpfs", "/tmp", "tmpfs", 0, "");
  const int console = open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(console, fd);
}

void WriteFile(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY);
  if (fd < 0) return;
  if (write(fd, text, strlen(text)) < 0) printf("@info cannot write %s\n", path);
  close(fd);
}

// Has khugepaged collapse and the kernel split 2 MiB pages as often as they can.
void UseHugePages() {
  const std::string settings = "/sys/kernel/mm/transparent_hugepage/";
  WriteFile((settings + "enabled").c_str(), "always");
  WriteFile((settings + "shmem_enabled").c_str(), "always");
  WriteFile((settings + "khugepaged/scan_sleep_millisecs").c_str(), "5");
  WriteFile((settings + "khugepaged/alloc_sleep_millisecs").c_str(), "5");
  WriteFile((settings + "khugepaged/pages_to_scan").c_str(), "65536");
}

void RunTest(const Test& test) {
  const int status = InChild([&] {
    InstallFaultHandlers();
    test.body();
  });
  if (status == 0) {
    printf("@pass %s\n", test.name);
  } else {
    printf("@fail %s (wait status 0x%x)\n", test.name, static_cast<unsigned>(status));
  }
}

void RunTests(const std::string& names) {
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    begin = end + 1;
    const Test* found = nullptr;
    for (const Test& test : kTests) {
      if (name == test.name) found = &test;
    }
    if (found != nullptr) {
      RunTest(*found);
    } else {
      printf("@fail %s (there is no such test)\n", name.c_str());
    }
  }
}

}  // namespace
}  // namespace guest

int main(int argc, char** argv) {
  if (getpid() != 1) return guest::RunProgram(argc, argv);

  guest::MountFileSystems();
  setvbuf(stdout, nullptr, _IOLBF, 0);
  if (guest::Setting("huge_pages", 0) != 0) guest::UseHugePages();
  const char* names = getenv("tests");
  guest::RunTests(names != nullptr ? names : "");
  printf("@done\n");
  fflush(stdout);
  reboot(RB_POWER_OFF);
}
