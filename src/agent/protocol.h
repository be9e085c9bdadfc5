// The agent protocol: what the host says to the agent in the guest, and what it answers.
//
// One vsock stream (guest port kPort) is one connection, and carries one attachment, one transfer,
// or any number of plain requests. Frame: u32 length (little endian) of the payload | u8 type |
// payload. Requests, replies and events are JSON (src/base/json.h); data is raw.
//
//   host -> guest   Hello, then a Request (without waiting for the guest's Hello), then data, end
//   guest -> host   Hello, then one Reply for each Request (same `seq`), Events, data, end, credit
//
// Versions: both sides name the newest and the oldest version they speak; the session speaks the
// lower of the newest. Changes are additive: unknown keys are ignored, an unknown request is
// answered with kUnsupported. A side that finds no common version says so and closes.
//
// Credit: the host sends data on a stream only against credit. The streams of an exec, and the one
// of a write, begin with kInitialCredit; an attachment that takes over input begins with none; the
// rest is granted by credit frames. So the agent always reads on, and a signal, a resize or a
// closed stdin never waits behind data. Towards the host there is no credit: a host that does not
// read stops the guest (one connection is one consumer).
//
// Everything from the guest is hostile to the host: see src/agent/client.
//
// Here are the envelopes; what is in them, by subject, in the files included.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <vector>

#include "src/agent/protocol_base.h"
#include "src/agent/protocol_files.h"
#include "src/agent/protocol_machine.h"
#include "src/agent/protocol_processes.h"

namespace msb::agent {

struct Ping {};
BOOST_DESCRIBE_STRUCT(Ping, (), ())

struct Request {
  uint32_t seq = 0;        // chosen by the host; named in the Reply
  uint32_t container = 0;  // only 0 exists in this version
  // Exactly one is set.
  std::optional<Ping> ping = {};
  std::optional<Configure> configure = {};
  std::optional<Exec> exec = {};
  std::optional<Attach> attach = {};
  std::optional<Start> start = {};
  std::optional<Signal> signal = {};
  std::optional<Resize> resize = {};
  std::optional<Wait> wait = {};
  std::optional<ListProcesses> list_processes = {};
  std::optional<ReadFile> read_file = {};
  std::optional<WriteFile> write_file = {};
  std::optional<StatFile> stat_file = {};
  std::optional<ListDirectory> list_directory = {};
  std::optional<MakeDirectory> make_directory = {};
  std::optional<Remove> remove = {};
  std::optional<Rename> rename = {};
  std::optional<ChangeMode> change_mode = {};
  std::optional<MakeSymlink> make_symlink = {};
  std::optional<ReadSymlink> read_symlink = {};
  std::optional<Pack> pack = {};
  std::optional<Unpack> unpack = {};
  std::optional<WatchFiles> watch_files = {};
  std::optional<Shutdown> shutdown = {};
};
BOOST_DESCRIBE_STRUCT(Request, (),
                      (seq, container, ping, configure, exec, attach, start, signal, resize, wait,
                       list_processes, read_file, write_file, stat_file, list_directory,
                       make_directory, remove, rename, change_mode, make_symlink, read_symlink,
                       pack, unpack, watch_files, shutdown))

struct Reply {
  uint32_t seq = 0;
  std::optional<Failure> failure = {};
  // At most one is set; none for requests that are only done.
  std::optional<Configured> configured = {};
  std::optional<Started> started = {};
  std::optional<Exited> exited = {};
  std::optional<Processes> processes = {};
  std::optional<FileStatus> file = {};
  std::optional<base::Bytes> target = {};  // of a symbolic link
  std::optional<Unpacked> unpacked = {};
};
BOOST_DESCRIBE_STRUCT(Reply, (),
                      (seq, failure, configured, started, exited, processes, file, target,
                       unpacked))

struct Dropped {
  uint32_t stream = 0;
  uint64_t bytes = 0;
};
BOOST_DESCRIBE_STRUCT(Dropped, (), (stream, bytes))

// What a transfer leaves out, and why; `more`: how many others there were that are not named.
struct Skipped {
  base::Bytes path = {};  // relative to the top
  Failure failure = {};
  uint64_t more = 0;
};
BOOST_DESCRIBE_STRUCT(Skipped, (), (path, failure, more))

struct Event {
  // Exactly one is set.
  std::optional<Exited> exited = {};    // after all output of the process
  std::optional<Dropped> dropped = {};  // output that this attachment missed, here in the stream
  std::optional<Failure> broken = {};   // a transfer failed after its Reply
  std::optional<std::vector<DirectoryEntry>> entries = {};
  std::optional<Skipped> skipped = {};
  std::optional<std::vector<FileChange>> changes = {};
};
BOOST_DESCRIBE_STRUCT(Event, (), (exited, dropped, broken, entries, skipped, changes))

}  // namespace msb::agent
