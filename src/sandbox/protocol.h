// What msb (or the server) and msb-monitor say to each other: JSON messages, one a packet, on a
// SOCK_SEQPACKET socket, descriptors by SCM_RIGHTS and named by their index in the packet.
//
// The first socket is the lease (descriptor 3 of the monitor): its starter sends Start, and without
// `detached` the sandbox ends when the lease closes. Further clients connect to the control socket
// in the run directory and are served the same requests, Start excepted. Versions are additive as
// in the agent protocol: N and N-1, unknown keys ignored, an unknown request answered with
// kUnsupported.
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
inline constexpr size_t kMaxMonitorMessage = 256 * 1024;

struct SandboxSpec {
  std::string id;     // 128 bits, lower-case hexadecimal
  std::string name;   // for people; also the guest's host name
  std::string image;  // for people
  uint64_t memory_bytes = 0;
  std::vector<vmm::Disk> disks;  // descriptors by index; the image first, then the writable disk
  bool temporary = true;         // nothing of it is kept: it is killed, not shut down
  bool detached = false;         // outlives its lease
  agent::Configure configure;
  // Descriptors (index) of streams to be connected to the agent as soon as it listens.
  std::vector<uint32_t> streams;
};
BOOST_DESCRIBE_STRUCT(SandboxSpec, (),
                      (id, name, image, memory_bytes, disks, temporary, detached, configure,
                       streams))

// A new stream to the agent: the packet's one descriptor (SOCK_STREAM) is connected to it.
struct ConnectAgent {};
BOOST_DESCRIBE_STRUCT(ConnectAgent, (), ())

// Ends the sandbox: the agent's orderly shutdown within the grace, then the kill.
struct Stop {
  uint32_t grace_ms = 10000;
};
BOOST_DESCRIBE_STRUCT(Stop, (), (grace_ms))

struct ToMonitor {
  uint32_t version = kMonitorVersion;
  // Exactly one is set.
  std::optional<SandboxSpec> start;
  std::optional<ConnectAgent> connect_agent;
  std::optional<Stop> stop;
};
BOOST_DESCRIBE_STRUCT(ToMonitor, (), (version, start, connect_agent, stop))

enum class EndReason {
  kRequested,    // stopped, or the lease closed
  kGuestEnded,   // the guest powered off, or its kernel died
  kVmmEnded,     // msb-vmm died or gave up
  kStartFailed,  // it never ran
};
BOOST_DESCRIBE_ENUM(EndReason, kRequested, kGuestEnded, kVmmEnded, kStartFailed)

// The last message: processes, mounts and locks are gone.
struct Ended {
  EndReason reason = EndReason::kRequested;
  std::string message;    // for people, complete
  base::Bytes guest_log;  // the guest kernel's last lines, foreign text
};
BOOST_DESCRIBE_STRUCT(Ended, (), (reason, message, guest_log))

struct Running {
  std::string engine;
  uint64_t configure_us = 0;     // what the agent needed to set up the root
  uint64_t guest_uptime_us = 0;  // guest kernel's start until then
};
BOOST_DESCRIBE_STRUCT(Running, (), (engine, configure_us, guest_uptime_us))

struct FromMonitor {
  uint32_t version = kMonitorVersion;
  // Exactly one is set.
  std::optional<Running> running;     // once, to the lease
  std::optional<std::string> notice;  // to the lease, any time: a line for people
  std::optional<Ended> ended;
  std::optional<agent::Failure> failure;  // of the last request
};
BOOST_DESCRIBE_STRUCT(FromMonitor, (), (version, running, notice, ended, failure))

}  // namespace msb::sandbox
