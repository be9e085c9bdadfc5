// State: what is written down about a sandbox, for `ps` and for whoever looks for it by name.
//
// state.json in its run directory; replaced by rename, void if it is from another boot. It is a
// record, not the truth: a sandbox whose run lock nobody holds, or whose monitor is dead, has
// ended, whatever was written last. ReadState says what is true. Any thread.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "src/agent/protocol.h"
#include "src/base/result.h"
#include "src/sandbox/lifecycle.h"
#include "src/sandbox/protocol.h"

namespace msb::sandbox {

// A process of the host; the start time tells it from a later one with the same number.
struct HostProcess {
  int32_t pid = 0;
  uint64_t start_time = 0;  // clock ticks since boot
};
BOOST_DESCRIBE_STRUCT(HostProcess, (), (pid, start_time))

// How the program of a sandbox that goes on without it ended.
struct ProgramEnd {
  int32_t exit_code = 0;  // as a shell reports it
  std::string message;    // for people
  int64_t ended_ms = 0;   // wall clock since 1970
};
BOOST_DESCRIBE_STRUCT(ProgramEnd, (), (exit_code, message, ended_ms))

struct State {
  int version = 3;
  std::string id;
  std::string name;
  std::string boot_id;
  std::string engine;
  std::string image;
  ProgramDefaults defaults;
  std::optional<agent::Exec> program;
  bool ends_with_program = true;
  std::optional<ProgramEnd> program_end;
  uint64_t memory_bytes = 0;
  std::string disk_path;  // empty: its writable disk has no name, and goes with it
  bool detached = false;
  Limits limits;
  Phase phase = Phase::kStarting;
  int64_t created_ms = 0;  // wall clock since 1970
  int64_t ended_ms = 0;    // 0: it has not, or nobody knows when
  HostProcess monitor;
  HostProcess vmm;
  HostProcess guest;
  std::optional<Ended> ended;
};
BOOST_DESCRIBE_STRUCT(State, (),
                      (version, id, name, boot_id, engine, image, defaults, program,
                       ends_with_program, program_end, memory_bytes, disk_path, detached, limits,
                       phase, created_ms, ended_ms, monitor, vmm, guest, ended))

inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kLockFile = "lock";

// kNotFound if there is none, or it is of another boot.
base::Result<State> ReadState(int run_directory_fd);

// True if some process holds the run lock. kNotFound: there is no lock file.
base::Result<bool> IsRunLockHeld(int run_directory_fd);

HostProcess DescribeProcess(pid_t pid);         // all zero if it is gone
bool IsAlive(const HostProcess& process);       // not a zombie
base::Status Kill(const HostProcess& process);  // SIGKILL, to no other; fine if it is gone

int64_t WallClockMs();

}  // namespace msb::sandbox
