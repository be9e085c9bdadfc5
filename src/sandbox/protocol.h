// What msb (or the server) and msb-monitor say to each other: JSON messages, one a packet, on a
// SOCK_SEQPACKET socket, descriptors by SCM_RIGHTS and named by their index in the packet.
//
// The first socket is the lease (descriptor 3 of the monitor): its starter sends Start, and the
// sandbox ends when the lease closes, unless it is detached and its program has been started.
// Further clients connect to the control socket in the run directory and are served the same
// requests, Start excepted; as long as one is connected that does not say otherwise (Use) the
// sandbox is not idle. Versions are additive as in the agent protocol: N and N-1, unknown keys
// ignored, an unknown request answered with kUnsupported.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/agent/protocol.h"
#include "src/vmm/protocol.h"

namespace msb::sandbox {

inline constexpr uint32_t kMonitorVersion = 1;
inline constexpr uint32_t kOldestMonitorVersion = 1;
inline constexpr int kLeaseFd = 3;
inline constexpr size_t kMaxMonitorPacket = 64 * 1024;
inline constexpr uint64_t kMaxLimitMs = uint64_t{100} * 365 * 86'400'000;  // 100 years
inline constexpr size_t kMaxMonitorMessage = 4 * 1024 * 1024;

// What the programs of a sandbox have in common where a request says nothing else; fields as in
// agent::Exec.
struct ProgramDefaults {
  std::vector<base::Bytes> env;
  base::Bytes cwd = "/";
  bool create_cwd = false;
  base::Bytes user;
};
BOOST_DESCRIBE_STRUCT(ProgramDefaults, (), (env, cwd, create_cwd, user))

struct SandboxSpec {
  std::string id;  // 128 bits, lower-case hexadecimal
  // Reserved for it: IsFullName (names.h). Its last word is the guest's host name. Empty: made up
  // if it is detached, else the beginning of the id.
  std::string name;
  std::string image;  // for people
  uint64_t memory_bytes = 0;
  std::vector<int32_t> cpus;     // of the host, that it may run on; empty: the monitor's
  std::vector<vmm::Disk> disks;  // descriptors by index; the image first, then the writable disk
  bool temporary = true;         // nothing of its writable disk is kept
  // Of a writable disk that is kept: the monitor locks it (disk_lock.h). Absolute.
  std::string disk_path;
  ProgramDefaults defaults;
  // Its program. That of an attached sandbox is started by whoever holds the lease, and named here
  // for others. That of a detached one is started by the monitor, which keeps its output in the
  // log; what there is to show of such a sandbox stays until it is removed. A detached sandbox
  // without a program is ready once its root is set up.
  std::optional<agent::Exec> program;
  // A detached sandbox ends with its program. False: how that ended is recorded, and the sandbox
  // goes on, as one without a program does.
  bool ends_with_program = true;
  bool detached = false;
  int32_t stop_signal = 15;             // the image's
  std::optional<uint64_t> lifetime_ms;  // this and the next: as in SetLimits
  std::optional<uint64_t> idle_ms;      // without a client, a detached sandbox ends after so long
  agent::Configure configure;
  // Descriptors (index) of streams to be connected to the agent as soon as it listens.
  std::vector<uint32_t> streams;
};
BOOST_DESCRIBE_STRUCT(SandboxSpec, (),
                      (id, name, image, memory_bytes, cpus, disks, temporary, disk_path, defaults,
                       program, ends_with_program, detached, stop_signal, lifetime_ms, idle_ms,
                       configure, streams))

// A new stream to the agent: the packet's one descriptor (SOCK_STREAM) is connected to it.
struct ConnectAgent {
  // It is for an attachment of the sandbox's own program. When that has ended the sandbox waits
  // (not for ever) until this client says Received, so that nobody misses its last words.
  bool joins = false;
};
BOOST_DESCRIBE_STRUCT(ConnectAgent, (), (joins))

// All of the program's output, and its exit.
struct Received {};
BOOST_DESCRIBE_STRUCT(Received, (), ())

// Ends the sandbox: the stop signal to its programs, the kill after the grace. Without grace at
// once. A second Stop can shorten the first.
struct Stop {
  uint32_t grace_ms = 10000;
};
BOOST_DESCRIBE_STRUCT(Stop, (), (grace_ms))

// Tries again what a full host disk stopped, without waiting for the next look.
struct Resume {};
BOOST_DESCRIBE_STRUCT(Resume, (), ())

// Whether this client's being connected counts as use, until it says otherwise; at first it does.
// When the last use ends, idle_ms begins anew. Streams that were handed out do not count by
// themselves. Not answered.
struct Use {
  bool in_use = true;
};
BOOST_DESCRIBE_STRUCT(Use, (), (in_use))

// New limits. An absent one stays as it is, 0 is none, else the time counts from now. Of an idle
// sandbox the time that it may be idle begins anew. Answered by Limits.
struct SetLimits {
  std::optional<uint64_t> lifetime_ms;
  std::optional<uint64_t> idle_ms;
};
BOOST_DESCRIBE_STRUCT(SetLimits, (), (lifetime_ms, idle_ms))

// Those that are in force; absent: none.
struct Limits {
  std::optional<uint64_t> lifetime_ms;      // since its start, or since it was set
  std::optional<int64_t> lifetime_ends_ms;  // wall clock since 1970
  std::optional<uint64_t> idle_ms;
};
BOOST_DESCRIBE_STRUCT(Limits, (), (lifetime_ms, lifetime_ends_ms, idle_ms))

struct ToMonitor {
  uint32_t version = kMonitorVersion;
  // Descriptor (index) of a file that holds the message, which is too long for a packet.
  std::optional<uint32_t> message_fd;
  // Exactly one is set otherwise.
  std::optional<SandboxSpec> start;
  std::optional<ConnectAgent> connect_agent;
  std::optional<Stop> stop;
  std::optional<Resume> resume;
  std::optional<Received> received;
  std::optional<Use> use;
  std::optional<SetLimits> set_limits;
};
BOOST_DESCRIBE_STRUCT(ToMonitor, (),
                      (version, message_fd, start, connect_agent, stop, resume, received, use,
                       set_limits))

enum class EndReason {
  kProgramEnded,  // a detached sandbox's program
  kRequested,     // stopped, or the lease closed
  kLifetime,      // the limit was reached
  kIdle,          // likewise
  kGuestEnded,    // the guest powered off, or its kernel died
  kVmmEnded,      // msb-vmm or the monitor died or gave up
  kStartFailed,   // it never ran
};
BOOST_DESCRIBE_ENUM(EndReason, kProgramEnded, kRequested, kLifetime, kIdle, kGuestEnded, kVmmEnded,
                    kStartFailed)

// The last message: processes, mounts and locks are gone.
struct Ended {
  EndReason reason = EndReason::kRequested;
  std::string message;    // for people, complete
  base::Bytes guest_log;  // the guest kernel's last lines, foreign text
  // What msb leaves with for it, where the program's own code is not known: spec/cli.md.
  int32_t exit_code = 125;
  // Of kStartFailed: why the agent did not start the program, if that was it.
  std::optional<agent::FailureCode> refusal = {};
};
BOOST_DESCRIBE_STRUCT(Ended, (), (reason, message, guest_log, exit_code, refusal))

struct Running {
  std::string engine;
  uint64_t configure_us = 0;     // what the agent needed to set up the root
  uint64_t guest_uptime_us = 0;  // guest kernel's start until then
};
BOOST_DESCRIBE_STRUCT(Running, (), (engine, configure_us, guest_uptime_us))

// A detached sandbox's program was started, or it has none and its root is set up: it needs its
// lease no more.
struct ProgramStarted {
  std::string name;  // the sandbox's
};
BOOST_DESCRIBE_STRUCT(ProgramStarted, (), (name))

struct FromMonitor {
  uint32_t version = kMonitorVersion;
  // Exactly one is set.
  std::optional<Running> running;                 // once, to the lease
  std::optional<ProgramStarted> program_started;  // once, to the lease
  std::optional<std::string> notice;              // to the lease, any time: a line for people
  std::optional<EndReason> stopping;  // to all: programs are told to end, Ended will follow
  std::optional<Ended> ended;
  std::optional<Resume> resumed;          // answers Resume
  std::optional<Limits> limits;           // answers SetLimits
  std::optional<agent::Failure> failure;  // a request was refused
  // Goes with `failure`: it was SetLimits. Failures of several requests may be under way at once.
  std::optional<bool> of_limits;
};
BOOST_DESCRIBE_STRUCT(FromMonitor, (),
                      (version, running, program_started, notice, stopping, ended, resumed, limits,
                       failure, of_limits))

}  // namespace msb::sandbox
