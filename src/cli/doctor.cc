// msb doctor: what this host can run, what is missing, what to do about it.
#include <unistd.h>

#include <boost/describe.hpp>
#include <cstdio>

#include "src/base/affinity.h"
#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/cli/commands.h"
#include "src/cli/findings.h"
#include "src/jail/jail.h"
#include "src/sandbox/guest_kernel.h"
#include "src/sandbox/host_identity.h"

namespace msb::cli {
namespace {

struct Diagnosis {
  std::string version = MSB_VERSION;
  std::string engine;  // what `auto` chooses; empty: nothing can run
  std::vector<Finding> findings;
};
BOOST_DESCRIBE_STRUCT(Diagnosis, (), (version, engine, findings))

std::string ReadLine(const char* path) {
  auto text = base::ReadFile(path, 4096);
  if (!text) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

Finding CheckKvm() {
  const bool device = ::access("/dev/kvm", R_OK | W_OK) == 0;
  return {"engine kvm", Verdict::kNote,
          fmt::format("not in this version ({})",
                      device ? "/dev/kvm is there" : "and this user has no /dev/kvm"),
          ""};
}

Finding CheckInstallation() {
  const auto directory = base::LibexecDirectory();
  if (!directory) return {"installation", Verdict::kMissing, directory.error().message(), ""};
  std::string missing;
  for (const char* file : {"msb-monitor", "msb-vmm", "msb-jail-init", "msb-image", "msb-convert",
                           "linux", "initramfs.cpio", "disks"}) {
    if (::access((*directory + "/" + file).c_str(), R_OK) < 0) missing += std::string(" ") + file;
  }
  if (missing.empty()) return {"installation", Verdict::kOk, *directory, ""};
  return {"installation", Verdict::kMissing, *directory + " lacks" + missing,
          "install microsandbox again (make install)"};
}

Finding CheckNamespaces() {
  const base::Status full = jail::ProbeFull();
  if (full)
    return {"jail", Verdict::kOk, "level full: all namespaces, seccomp, no capabilities", ""};
  std::string fix;
  if (ReadLine("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    fix = "sysctl -w kernel.unprivileged_userns_clone=1";
  } else if (ReadLine("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    fix = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
  } else if (ReadLine("/proc/sys/user/max_user_namespaces") == "0") {
    fix = "sysctl -w user.max_user_namespaces=15000";
  } else {
    fix =
        "allow user namespaces here; in a container, start it with a seccomp profile that allows "
        "clone3, unshare, mount and pivot_root";
  }
  return {"jail", Verdict::kMissing, full.error().message(), fix + "   (as root on the host)"};
}

Finding CheckIdentity() {
  if (::geteuid() != 0) {
    return {"identity", Verdict::kOk, fmt::format("sandboxes run as this user ({})", ::geteuid()),
            ""};
  }
  const auto identity = sandbox::TakeHostIdentity();
  if (!identity) return {"identity", Verdict::kMissing, identity.error().message(), ""};
  return {"identity", Verdict::kOk,
          fmt::format("as root: each sandbox has a user id of its own, from {}", identity->uid),
          ""};
}

Finding CheckMaps() {
  const std::string maps = ReadLine("/proc/sys/vm/max_map_count");
  return {"memory maps", Verdict::kNote,
          fmt::format("vm.max_map_count is {}: a guest process with more scattered pages than that "
                      "runs on, but slower",
                      maps),
          "sysctl -w vm.max_map_count=1048576   (only if such programs are slow)"};
}

Finding CheckHugePages() {
  const std::string setting = ReadLine("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  const bool denied = setting.empty() || setting.find("[deny]") != std::string::npos;
  return {"huge pages", denied ? Verdict::kNote : Verdict::kOk,
          denied ? "not for shared memory: large guests start slower" : "used for guest memory",
          denied ? "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled" : ""};
}

Finding CheckCpus() {
  const auto cpus = base::AllowedCpus();
  if (!cpus) return {"cpus", Verdict::kNote, cpus.error().message(), ""};
  return {"cpus", Verdict::kOk,
          fmt::format("sandboxes are spread over CPU {} (--cpu-list chooses others)",
                      base::FormatCpuList(*cpus)),
          ""};
}

Finding DescribeLimits() {
  constexpr uint64_t kMemory = 1024ull << 20;
  const sandbox::ProcessBounds bounds = sandbox::BoundsFor(kMemory);
  return {
      "limits", Verdict::kNote,
      fmt::format("of a 1024 MiB sandbox: guest RAM by its tmpfs's size; {} host processes "
                  "(RLIMIT_NPROC) with {} MiB of private memory each (RLIMIT_DATA); disk by its "
                  "size. No cgroup is used in this version",
                  bounds.processes, bounds.data_bytes >> 20),
      ""};
}

Diagnosis Examine() {
  Diagnosis diagnosis;
  diagnosis.findings = {CheckInstallation(), CheckNamespaces(), CheckIdentity(), CheckHome(),
                        CheckHostLimits(),   CheckKvm(),        CheckCpus(),     CheckHugePages(),
                        CheckMaps(),         DescribeLimits()};
  bool runs = true;
  for (const Finding& finding : diagnosis.findings) {
    runs = runs && finding.verdict != Verdict::kMissing;
  }
  if (runs) diagnosis.engine = "uml";
  return diagnosis;
}

const char* Mark(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok  ";
    case Verdict::kNote:
      return "note";
    case Verdict::kMissing:
      return "FAIL";
  }
  return "";
}

}  // namespace

int RunDoctor(const DoctorOptions& options) {
  const Diagnosis diagnosis = Examine();
  if (options.json) {
    std::puts(base::json::WritePretty(base::json::Encode(diagnosis)).c_str());
  } else {
    for (const Finding& finding : diagnosis.findings) {
      std::printf("%s  %-12s  %s\n", Mark(finding.verdict), finding.name.c_str(),
                  finding.text.c_str());
      if (!finding.fix.empty()) std::printf("                    -> %s\n", finding.fix.c_str());
    }
    if (diagnosis.engine.empty()) {
      std::puts("\nSandboxes cannot run here until what FAILs is mended.");
    } else {
      std::puts(
          "\nSandboxes run here with engine uml. The guest kernel is a jailed process without "
          "rights:"
          "\nthe jail is the boundary; users inside one guest are not protected from one another.");
    }
  }
  return diagnosis.engine.empty() ? 1 : 0;
}

}  // namespace msb::cli
