// What the kernel costs a program: page faults, processes, system calls.
//
//     ubench [NAME...]
//
// Prints a line "NAME VALUE UNIT" for each measurement (the median of several rounds), or only for
// those named. It runs natively, in a sandbox of any kind and as the init of a bare guest kernel
// (rdinit=/ubench, then it powers off), so that the same binary compares them. Programs that are
// not there are left out.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMiB = size_t{1} << 20;

[[noreturn]] void Die(const char* what) {
  perror(what);
  _exit(1);
}

double NowUs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double Elapsed(const std::function<void()>& work) {
  const double start = NowUs();
  work();
  return NowUs() - start;
}

// The median over so many rounds of what one round returns.
double Median(int rounds, const std::function<double()>& round) {
  std::vector<double> values;
  for (int i = 0; i < rounds; i++) values.push_back(round());
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Area {
 public:
  Area(size_t bytes, int protection, int fd = -1) : bytes_(bytes) {
    const int flags = MAP_PRIVATE | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void* address = mmap(nullptr, bytes, protection, flags, fd, 0);
    if (address == MAP_FAILED) Die("mmap");
    base_ = static_cast<volatile char*>(address);
  }
  ~Area() { munmap(const_cast<char*>(base_), bytes_); }
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;

  void Write(size_t step) {
    for (size_t offset = 0; offset < bytes_; offset += step) base_[offset] = 1;
  }
  void Read(size_t step) {
    for (size_t offset = 0; offset < bytes_; offset += step) (void)base_[offset];
  }
  double Steps(size_t step) const { return static_cast<double>(bytes_ / step); }

 private:
  const size_t bytes_;
  volatile char* base_;
};

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

double TouchMs() {
  return Median(5, [] { return Elapsed([] { Area(200 * kMiB, kReadWrite).Write(kPage); }) / 1e3; });
}

double FaultUs(size_t bytes, size_t step, bool write) {
  return Median(5, [=] {
    Area area(bytes, kReadWrite);
    return Elapsed([&] { write ? area.Write(step) : area.Read(step); }) / area.Steps(step);
  });
}

// A child writes to pages that it shares with its parent.
double CopyOnWriteUs() {
  return Median(5, [] {
    Area area(8 * kMiB, kReadWrite);
    area.Write(kPage);
    int ends[2];
    if (pipe(ends) != 0) Die("pipe");
    const pid_t child = fork();
    if (child == 0) {
      const double page = Elapsed([&] { area.Write(kPage); }) / area.Steps(kPage);
      _exit(write(ends[1], &page, sizeof(page)) == sizeof(page) ? 0 : 1);
    }
    double page = 0;
    if (read(ends[0], &page, sizeof(page)) != sizeof(page)) Die("read");
    waitpid(child, nullptr, 0);
    close(ends[0]);
    close(ends[1]);
    return page;
  });
}

// The pages are in the page cache after the first round.
double MappedFileUs(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status = {};
  if (fd < 0 || fstat(fd, &status) != 0) return -1;
  const double median = Median(11, [&] {
    Area area(static_cast<size_t>(status.st_size), PROT_READ, fd);
    return Elapsed([&] { area.Read(kPage); }) / area.Steps(kPage);
  });
  close(fd);
  return median;
}

double GetppidUs() {
  constexpr int kCalls = 2000;
  return Median(9, [] {
    return Elapsed([] {
             for (int i = 0; i < kCalls; i++) syscall(SYS_getppid);
           }) /
           kCalls;
  });
}

double ForkExitUs() {
  return Median(200, [] {
    return Elapsed([] {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      waitpid(child, nullptr, 0);
    });
  });
}

// Runs a program with its output thrown away; negative where it is missing or fails.
double RunUs(int rounds, const std::vector<const char*>& arguments) {
  if (access(arguments[0], X_OK) != 0) return -1;
  std::vector<char*> argv;
  for (const char* argument : arguments) argv.push_back(const_cast<char*>(argument));
  argv.push_back(nullptr);
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  bool failed = false;
  const double median = Median(rounds, [&] {
    return Elapsed([&] {
      const pid_t child = vfork();
      if (child == 0) {
        if (null >= 0) dup2(null, STDOUT_FILENO);
        execv(argv[0], argv.data());
        _exit(127);
      }
      int status = 0;
      waitpid(child, &status, 0);
      failed |= status != 0;
    });
  });
  if (null >= 0) close(null);
  return failed ? -1 : median;
}

std::string Self() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : "/ubench";
}

struct Measurement {
  const char* name;
  const char* unit;
  std::function<double()> run;
};

std::vector<Measurement> Measurements(const std::string& self) {
  constexpr char kPython[] = "/usr/bin/python3";
  return {
      {"getppid", "us", GetppidUs},
      {"touch_200_mb", "ms", TouchMs},
      {"fault_sequential", "us/page", [] { return FaultUs(32 * kMiB, kPage, true); }},
      {"fault_sparse", "us/fault", [] { return FaultUs(128 * kMiB, 32 * kPage, true); }},
      {"fault_read", "us/page", [] { return FaultUs(8 * kMiB, kPage, false); }},
      {"copy_on_write", "us/page", CopyOnWriteUs},
      {"mapped_file", "us/page", [self] { return MappedFileUs(self.c_str()); }},
      {"fork_exit", "us", ForkExitUs},
      {"exec_static", "us", [self] { return RunUs(100, {self.c_str(), "--nothing"}); }},
      {"exec_dynamic", "us", [] { return RunUs(100, {"/bin/true"}); }},
      {"bash_10_true", "us",
       [] {
         return RunUs(11, {"/bin/bash", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done"});
       }},
      {"python_hello", "us", [=] { return RunUs(11, {kPython, "-c", "print('hello')"}); }},
      {"python_objects", "us",
       [=] {
         return RunUs(5, {kPython, "-I", "-S", "-c",
                          "x=[str(i) for i in range(300000)];d={i:i for i in x}"});
       }},
  };
}

// As the init of a bare guest kernel there is nothing yet.
void MountFileSystems() {
  for (const char* directory : {"/proc", "/dev", "/tmp"}) mkdir(directory, 0755);
  mount("proc", "/proc", "proc", 0, "");
  mount("devtmpfs", "/dev", "devtmpfs", 0, "");
  mount("tmpfs", "/tmp", "tmpfs", 0, "");
  const int console = open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(console, fd);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--nothing") == 0) return 0;
  const bool is_init = getpid() == 1 && access("/proc/self", F_OK) != 0;
  if (is_init) MountFileSystems();
  setvbuf(stdout, nullptr, _IOLBF, 0);
  setenv("PYTHONDONTWRITEBYTECODE", "1", 1);

  const std::vector<std::string> wanted(argv + 1, argv + argc);
  const std::string self = Self();
  for (const Measurement& measurement : Measurements(self)) {
    if (!is_init && !wanted.empty() &&
        std::find(wanted.begin(), wanted.end(), measurement.name) == wanted.end()) {
      continue;
    }
    const double value = measurement.run();
    if (value >= 0) printf("%s %.2f %s\n", measurement.name, value, measurement.unit);
  }
  if (is_init) {
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
  }
  return 0;
}
