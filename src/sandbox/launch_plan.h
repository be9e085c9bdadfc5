// LaunchPlan: what has to be sent to a monitor for a sandbox of an image: its description and the
// descriptors that this names by index. What msb exe and the server share.
//
// The plan owns its descriptors. Once a Lease was started they must be closed (destroy the plan),
// so that a disk is gone, or unlocked, with its sandbox. Any thread; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/agent/protocol.h"
#include "src/base/affinity.h"
#include "src/base/bytes.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/image/disk.h"
#include "src/image/store.h"
#include "src/sandbox/persistent_disk.h"
#include "src/sandbox/protocol.h"

namespace msb::sandbox {

struct LaunchPlan {
  SandboxSpec spec;
  std::vector<base::UniqueFd> files;

  uint32_t Add(base::UniqueFd file);  // its index
  std::vector<int> fds() const;
};

struct LaunchOptions {
  std::string name;  // see SandboxSpec
  uint64_t memory_bytes = 1024ull << 20;
  uint64_t disk_bytes = image::kDefaultDiskBytes;  // of a temporary disk
  base::CpuList cpus;                              // empty: those that the starter may use
  bool detached = false;
  std::optional<uint64_t> lifetime_ms;
  std::optional<uint64_t> idle_ms;
};

// What a user wants to differ from what the image says, for all programs.
struct DefaultsOptions {
  std::vector<base::Bytes> env;  // over the image's
  std::string workdir;           // empty: the image's, or /
  std::string user;              // empty: the image's, or root
};

ProgramDefaults DefaultsOf(const image::ImageConfig& config, const DefaultsOptions& options);

// Without a program and defaults, which the caller adds. Without `disk` its writable disk is a
// temporary one, on the file system of `home`. kInvalid for options that this host cannot fulfil,
// kLimit for more memory than it can spare, kNoSpace for a full disk.
base::Result<LaunchPlan> PlanLaunch(image::RunnableImage image, const LaunchOptions& options,
                                    const std::string& home,
                                    std::optional<PersistentDisk> disk = {});

// A line for whoever asked for more virtual CPUs than the engine has, as `option`; else absent.
std::optional<std::string> CpuWarning(uint64_t cpus, std::string_view option);

// The image's program, or a shell where it has none; `exec`, if it is not empty, instead.
std::vector<base::Bytes> ArgvOf(const image::ImageConfig& config, const std::string& exec,
                                const std::vector<std::string>& arguments);

}  // namespace msb::sandbox
