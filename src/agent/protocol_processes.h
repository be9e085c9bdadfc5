// The agent protocol's requests about processes, and what answers them. See protocol.h.
#pragma once

#include <boost/describe.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/bytes.h"

namespace msb::agent {

struct WindowSize {
  uint16_t columns = 80;
  uint16_t rows = 24;
};
BOOST_DESCRIBE_STRUCT(WindowSize, (), (columns, rows))

enum class StdinMode { kNone, kStream };          // none: /dev/null (with a pty: always a stream)
enum class WhenUnattached { kKill, kKeep };       // when the last attachment goes
enum class OutputPolicy { kBlock, kDropOldest };  // when an output ring is full
BOOST_DESCRIBE_ENUM(StdinMode, kNone, kStream)
BOOST_DESCRIBE_ENUM(WhenUnattached, kKill, kKeep)
BOOST_DESCRIBE_ENUM(OutputPolicy, kBlock, kDropOldest)

// Creates a process object, attaches this connection to it and, unless `start` is false, starts it.
// Answered by Started, or by a Failure (and then there is no object).
struct Exec {
  std::string id = {};                 // kProcessIdDigits, chosen by the host
  std::vector<base::Bytes> argv = {};  // argv[0] without a slash is found by the PATH of `env`
  std::vector<base::Bytes> env =
      {};  // K=V; PATH, HOME, HOSTNAME (TERM with a pty) are added if absent
  base::Bytes cwd = "/";
  bool create_cwd = false;  // an image's WorkingDir need not exist
  base::Bytes user = {};    // user[:group], names or numbers, as in an image; empty: root
  std::optional<WindowSize> pty = {};
  StdinMode stdin_mode = StdinMode::kNone;
  WhenUnattached unattached = WhenUnattached::kKill;
  OutputPolicy output = OutputPolicy::kBlock;
  uint32_t extra_streams = 0;  // descriptors 3 …
  bool hold_input = true;      // false: the input is left to an Attach
  bool start = true;
  static constexpr auto kRequired = std::to_array<std::string_view>({"id", "argv"});
};
BOOST_DESCRIBE_STRUCT(Exec, (),
                      (id, argv, env, cwd, create_cwd, user, pty, stdin_mode, unattached, output,
                       extra_streams, hold_input, start))

struct StreamOffset {
  uint32_t stream = 0;
  uint64_t offset = 0;  // bytes since the process started
};
BOOST_DESCRIBE_STRUCT(StreamOffset, (), (stream, offset))

// Attaches this connection to a process object that exists. Output follows from the given offsets,
// or from the oldest byte that is kept; an offset that is kept no more gives a Dropped first.
struct Attach {
  std::string id = {};
  std::vector<StreamOffset> offsets = {};
  bool input = false;  // take stdin and the input of extra streams; kBusy if another holds them
  static constexpr auto kRequired = std::to_array<std::string_view>({"id"});
};
BOOST_DESCRIBE_STRUCT(Attach, (), (id, offsets, input))

struct Started {
  uint32_t pid = 0;  // 0: created, not started
  bool pty = false;
  uint32_t extra_streams = 0;
  std::vector<StreamOffset> offsets = {};  // where the data of each stream begins
};
BOOST_DESCRIBE_STRUCT(Started, (), (pid, pty, extra_streams, offsets))

// In these an empty id means the process that this connection is attached to.
struct Start {
  std::string id = {};
};
BOOST_DESCRIBE_STRUCT(Start, (), (id))

struct Signal {
  std::string id = {};
  int32_t signal = 15;
  bool group = false;  // to the whole process group (with a pty: the terminal's foreground group)
};
BOOST_DESCRIBE_STRUCT(Signal, (), (id, signal, group))

struct Resize {
  std::string id = {};
  WindowSize size = {};
};
BOOST_DESCRIBE_STRUCT(Resize, (), (id, size))

// Answered by Exited once the process has exited. `collect` removes the object.
struct Wait {
  std::string id = {};
  bool collect = true;
};
BOOST_DESCRIBE_STRUCT(Wait, (), (id, collect))

struct Exited {
  bool signaled = false;
  uint32_t value = 0;          // exit code, or the signal's number
  bool out_of_memory = false;  // killed because the guest had no memory left
  uint64_t cpu_us = 0;         // user and system time, with children that were waited for
  int ShellCode() const { return static_cast<int>((signaled ? 128u : 0u) + (value & 0x7fff)); }
};
BOOST_DESCRIBE_STRUCT(Exited, (), (signaled, value, out_of_memory, cpu_us))

struct ListProcesses {};
BOOST_DESCRIBE_STRUCT(ListProcesses, (), ())

struct ProcessInfo {
  std::string id = {};
  uint32_t pid = 0;  // 0: created, or exited
  std::vector<base::Bytes> argv = {};
  bool pty = false;
  uint32_t attachments = 0;
  std::optional<Exited> exited = {};
};
BOOST_DESCRIBE_STRUCT(ProcessInfo, (), (id, pid, argv, pty, attachments, exited))

struct Processes {
  std::vector<ProcessInfo> processes = {};
  bool truncated = false;  // there were more than fit into one frame
};
BOOST_DESCRIBE_STRUCT(Processes, (), (processes, truncated))

}  // namespace msb::agent
