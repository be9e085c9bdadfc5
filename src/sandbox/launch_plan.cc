#include "src/sandbox/launch_plan.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/sandbox/environment.h"
#include "src/sandbox/signal_name.h"

namespace msb::sandbox {
namespace {

void AddRoot(LaunchPlan& plan, std::vector<image::ImagePart> parts) {
  vmm::Disk root;
  for (image::ImagePart& part : parts) {
    vmm::DiskPart& out = root.parts.emplace_back();
    out.offset = part.offset;
    out.length = part.length;
    out.fd = plan.Add(std::move(part.fd));
  }
  plan.spec.disks.push_back(std::move(root));
}

void AddWritable(LaunchPlan& plan, base::UniqueFd file, uint64_t bytes) {
  vmm::Disk disk;
  disk.read_only = false;
  disk.durable = !plan.spec.temporary;
  vmm::DiskPart& part = disk.parts.emplace_back();
  part.length = bytes;
  part.fd = plan.Add(std::move(file));
  plan.spec.disks.push_back(std::move(disk));
  plan.spec.configure.upper = agent::Upper{.device = "/dev/vdb", .temporary = plan.spec.temporary};
}

// A guest that fills more than the host has would take the host with it: guest memory is not
// swapped out, and every other process pages from the disk.
base::Status CheckMemory(uint64_t bytes) {
  const auto host = static_cast<uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES))) *
                    static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t most = host - host / 8;
  if (bytes <= most) return {};
  return base::Fail(base::ErrorCode::kLimit,
                    "a sandbox can have {1} MiB of memory at most on this host, of which an eighth "
                    "is left for all else, not {0}: ask for less",
                    bytes >> 20, most >> 20);
}

}  // namespace

uint32_t LaunchPlan::Add(base::UniqueFd file) {
  files.push_back(std::move(file));
  return static_cast<uint32_t>(files.size() - 1);
}

std::vector<int> LaunchPlan::fds() const {
  std::vector<int> fds;
  for (const base::UniqueFd& file : files) fds.push_back(file.get());
  return fds;
}

base::Result<LaunchPlan> PlanLaunch(image::RunnableImage image, const LaunchOptions& options,
                                    const std::string& home, std::optional<PersistentDisk> disk) {
  TRY(CheckMemory(options.memory_bytes));
  LaunchPlan plan;
  SandboxSpec& spec = plan.spec;
  spec.id = base::RandomHex(16);
  spec.name = options.name;
  spec.image = image.name;
  spec.memory_bytes = options.memory_bytes;
  if (!options.cpus.empty()) TRY(base::CheckUsable(options.cpus));
  spec.cpus = options.cpus;
  spec.detached = options.detached;
  spec.lifetime_ms = options.lifetime_ms;
  spec.idle_ms = options.idle_ms;
  if (!image.config.stop_signal.empty()) {
    const auto signal = ParseSignal(image.config.stop_signal);
    if (signal) spec.stop_signal = *signal;
    if (!signal)
      LOG(kWarning, "the image's StopSignal is not usable: {}", signal.error().message());
  }
  spec.configure.lowers = {agent::Lower{}};
  spec.configure.volumes.assign(image.config.volumes.begin(), image.config.volumes.end());
  AddRoot(plan, std::move(image.parts));
  if (disk) {
    spec.temporary = false;
    spec.disk_path = disk->path;
    AddWritable(plan, std::move(disk->file), disk->bytes);
  } else {
    AddWritable(
        plan,
        TRY(image::CreateUnnamedDisk(TRY(base::LibexecDirectory()), image::DiskKind::kTemporary,
                                     options.disk_bytes, home)),
        options.disk_bytes);
  }
  return plan;
}

ProgramDefaults DefaultsOf(const image::ImageConfig& config, const DefaultsOptions& options) {
  ProgramDefaults defaults;
  defaults.env = MergeEnv({config.env.begin(), config.env.end()}, options.env);
  const bool given = !options.workdir.empty();
  const std::string& workdir = given ? options.workdir : config.workdir;
  if (!workdir.empty()) defaults.cwd = workdir;
  defaults.create_cwd = !given;
  defaults.user = options.user.empty() ? config.user : options.user;
  return defaults;
}

std::optional<std::string> CpuWarning(uint64_t cpus, std::string_view option) {
  if (cpus <= 1) return std::nullopt;
  return fmt::format("engine uml has one virtual CPU: {} {} is taken as 1", option, cpus);
}

std::vector<base::Bytes> ArgvOf(const image::ImageConfig& config, const std::string& exec,
                                const std::vector<std::string>& arguments) {
  std::vector<base::Bytes> argv;
  if (!exec.empty()) {
    argv = {exec};
  } else {
    argv.assign(config.entrypoint.begin(), config.entrypoint.end());
    argv.insert(argv.end(), config.cmd.begin(), config.cmd.end());
    if (argv.empty()) argv = {"/bin/sh"};
  }
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

}  // namespace msb::sandbox
