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
#pragma once

#include <boost/describe.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/bytes.h"

namespace msb::agent {

inline constexpr uint32_t kVersion = 1;          // newest spoken
inline constexpr uint32_t kOldestVersion = 1;    // N and N-1
inline constexpr uint32_t kPort = 1024;          // the agent's vsock port
inline constexpr uint32_t kAnnouncePort = 1024;  // on the host: a connection says "I listen"
inline constexpr uint32_t kHostCid = 2;

// --- limits --------------------------------------------------------------------------------------
inline constexpr size_t kFrameHeaderBytes = 5;
inline constexpr size_t kMaxPayload = 1024 * 1024;
inline constexpr size_t kMaxReply = 128 * 1024;  // JSON towards the host
inline constexpr size_t kInitialCredit = 64 * 1024;
inline constexpr size_t kCreditWindow = 256 * 1024;  // most that is ever granted ahead
inline constexpr size_t kRingBytes = 1024 * 1024;    // output kept for each stream
// Of it, what has been sent to every attachment: more than can be on its way to a host, so that a
// host which breaks off and attaches again where it stopped misses nothing (kKeep with kBlock).
inline constexpr size_t kResendBytes = 768 * 1024;
inline constexpr size_t kMaxExtraStreams = 4;
inline constexpr size_t kMaxStreams = 3 + kMaxExtraStreams;
inline constexpr size_t kMaxArguments = 65536;  // argv and env, each
inline constexpr size_t kMaxProcesses = 4096;   // objects: running, or not collected
inline constexpr size_t kMaxConnections = 1000;
inline constexpr size_t kMaxLowers = 64;
inline constexpr size_t kMaxVolumes = 64;
inline constexpr size_t kMaxTreeTransfers = 64;              // packed or unpacked at once
inline constexpr uint32_t kMaxListDepth = 256;               // levels below a listed directory
inline constexpr size_t kMaxWatchedDirectories = 4096;       // of one watch
inline constexpr size_t kMaxWatchedNames = 2 * 1024 * 1024;  // bytes of their paths
inline constexpr size_t kMaxPath = 4095;                     // PATH_MAX without its NUL
inline constexpr size_t kMaxSkippedReported = 100;  // of one transfer; the rest is counted only
inline constexpr size_t kProcessIdDigits = 32;      // 128 bits, lower-case hexadecimal

// --- frames --------------------------------------------------------------------------------------
// Streams: 0 stdin, 1 stdout (with a pty: all output), 2 stderr, 3 … extra, both ways.
inline constexpr unsigned kStdin = 0;
inline constexpr unsigned kStdout = 1;
inline constexpr unsigned kStderr = 2;
inline constexpr unsigned kFirstExtra = 3;

enum class FrameType : uint8_t {
  kHello = 1,
  kRequest = 2,
  kReply = 3,
  kEvent = 4,
  kCredit = 5,   // u8 stream | u32 bytes (little endian)
  kData = 0x10,  // + stream: raw bytes, at least one
  kEnd = 0x20,   // + stream: no more data on it; empty
};
inline constexpr size_t kCreditBytes = 5;

struct Hello {
  uint32_t version = kVersion;
  uint32_t oldest = kOldestVersion;
};
BOOST_DESCRIBE_STRUCT(Hello, (), (version, oldest))

// --- failures ------------------------------------------------------------------------------------
enum class FailureCode {
  kSystem,         // anything that has no code of its own; the message says what
  kProtocol,       // a broken frame, or one that is not legal now
  kVersion,        // no common version
  kUnsupported,    // an unknown request, or something this agent cannot do
  kInvalid,        // a malformed value; the message names it
  kLimit,          // a bound was exceeded
  kNotConfigured,  // before `configure`
  kConfigure,      // `configure` failed: the message names the step
  kNoSuchProcess,
  kProcessExists,   // the id is taken
  kProgramMissing,  // exit code 127
  kNotExecutable,   // exit code 126
  kNoSuchUser,
  kBadWorkdir,
  kNotFound,   // a file
  kDenied,     // a file
  kWrongKind,  // a file: a directory where a file was expected, and the like
  kExists,     // a file: the name is taken
  kNotEmpty,   // a directory that was to be removed or replaced
  kNoSpace,
  kBusy,          // stdin belongs to another attachment; shutting down
  kDisconnected,  // made up by the client: the stream ended
};
BOOST_DESCRIBE_ENUM(FailureCode, kSystem, kProtocol, kVersion, kUnsupported, kInvalid, kLimit,
                    kNotConfigured, kConfigure, kNoSuchProcess, kProcessExists, kProgramMissing,
                    kNotExecutable, kNoSuchUser, kBadWorkdir, kNotFound, kDenied, kWrongKind,
                    kExists, kNotEmpty, kNoSpace, kBusy, kDisconnected)

struct Failure {
  FailureCode code = FailureCode::kSystem;
  base::Bytes message = {};  // foreign text on the host: escape it before a terminal sees it
};
BOOST_DESCRIBE_STRUCT(Failure, (), (code, message))

// --- configure -----------------------------------------------------------------------------------
struct Lower {
  base::Bytes device = "/dev/vda";
  std::string type = "erofs";
};
BOOST_DESCRIBE_STRUCT(Lower, (), (device, type))

struct Upper {
  base::Bytes device = "/dev/vdb";  // ext4; grown to the device's size
  bool temporary = false;           // nobody reads it again: volatile overlay, no barriers
};
BOOST_DESCRIBE_STRUCT(Upper, (), (device, temporary))

// The first request of a machine's life, once. Requests that need a root wait for it.
struct Configure {
  std::string epoch = {};    // 128-bit id of this boot, hexadecimal
  int64_t clock_ns = 0;      // wall clock since 1970; 0: leave it
  base::Bytes entropy = {};  // host randomness for the guest's pool, at most 512 bytes
  base::Bytes hostname = "sandbox";
  std::vector<Lower> lowers = {};             // topmost first; empty: stay in the initramfs
  std::optional<Upper> upper = {};            // absent: writes go to guest memory
  std::vector<base::Bytes> volumes = {};      // the image's VOLUMEs: absolute paths
  std::vector<base::Bytes> nameservers = {};  // addresses
  std::vector<base::Bytes> search = {};
  std::vector<base::Bytes> hosts = {};  // further lines of /etc/hosts
};
BOOST_DESCRIBE_STRUCT(Configure, (),
                      (epoch, clock_ns, entropy, hostname, lowers, upper, volumes, nameservers,
                       search, hosts))

struct Configured {
  uint64_t configure_us = 0;  // how long it took in the guest
  uint64_t uptime_us = 0;     // guest CLOCK_BOOTTIME when it was done
};
BOOST_DESCRIBE_STRUCT(Configured, (), (configure_us, uptime_us))

// --- processes -----------------------------------------------------------------------------------
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

// --- files ---------------------------------------------------------------------------------------
// Paths are absolute, in the guest. `user` as in Exec: whose rights are used and who owns what is
// created.
enum class FileKind { kRegular, kDirectory, kSymlink, kFifo, kSocket, kCharacter, kBlock };
BOOST_DESCRIBE_ENUM(FileKind, kRegular, kDirectory, kSymlink, kFifo, kSocket, kCharacter, kBlock)

struct FileStatus {
  FileKind kind = FileKind::kRegular;
  uint32_t mode = 0;  // permission bits, set-user-ID, set-group-ID and sticky
  uint64_t size = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t modified_ns = 0;
};
BOOST_DESCRIBE_STRUCT(FileStatus, (), (kind, mode, size, uid, gid, modified_ns))

// Answered by FileStatus; then data on stream 1 and its end (or a Broken event).
struct ReadFile {
  base::Bytes path = {};
  base::Bytes user = {};
  uint64_t offset = 0;
  std::optional<uint64_t> length = {};  // absent: to the end
};
BOOST_DESCRIBE_STRUCT(ReadFile, (), (path, user, offset, length))

// Data on stream 0 against credit, then its end; answered by FileStatus once all is written. A
// failure may be answered at any time. The file is created or truncated; it is not atomic.
struct WriteFile {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t mode = 0644;  // of a new file
  bool exclusive = false;
};
BOOST_DESCRIBE_STRUCT(WriteFile, (), (path, user, mode, exclusive))

struct StatFile {
  base::Bytes path = {};
  base::Bytes user = {};
  bool follow = true;
};
BOOST_DESCRIBE_STRUCT(StatFile, (), (path, user, follow))

// Entries events, then the Reply. With a depth above 1 also what is in the directories below, each
// after its directory, with names like "a/b"; links are not followed. A directory below that cannot
// be listed gives a Skipped event.
struct ListDirectory {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t depth = 1;  // 1: the directory's own entries; at most kMaxListDepth
};
BOOST_DESCRIBE_STRUCT(ListDirectory, (), (path, user, depth))

struct DirectoryEntry {
  base::Bytes name = {};  // relative to the directory that is listed
  FileStatus status = {};
  base::Bytes target = {};  // of a symbolic link
};
BOOST_DESCRIBE_STRUCT(DirectoryEntry, (), (name, status, target))

// `parents`: those that are missing are made, too (with 0755), and a directory that is there
// already is fine; else that is kExists.
struct MakeDirectory {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t mode = 0755;
  bool parents = false;
};
BOOST_DESCRIBE_STRUCT(MakeDirectory, (), (path, user, mode, parents))

// A file, a link itself, an empty directory; `recursive`: a directory with all that is in it. What
// was removed before a failure stays so. Further requests of the connection wait for it.
struct Remove {
  base::Bytes path = {};
  base::Bytes user = {};
  bool recursive = false;
};
BOOST_DESCRIBE_STRUCT(Remove, (), (path, user, recursive))

// Atomic, hence within one file system. Without `replace` a taken name is kExists.
struct Rename {
  base::Bytes from = {};
  base::Bytes to = {};
  base::Bytes user = {};
  bool replace = true;
};
BOOST_DESCRIBE_STRUCT(Rename, (), (from, to, user, replace))

struct ChangeMode {
  base::Bytes path = {};
  base::Bytes user = {};
  uint32_t mode = 0644;
};
BOOST_DESCRIBE_STRUCT(ChangeMode, (), (path, user, mode))

struct MakeSymlink {
  base::Bytes target = {};
  base::Bytes path = {};
  base::Bytes user = {};
};
BOOST_DESCRIBE_STRUCT(MakeSymlink, (), (target, path, user))

// Answered by Reply::target.
struct ReadSymlink {
  base::Bytes path = {};
  base::Bytes user = {};
};
BOOST_DESCRIBE_STRUCT(ReadSymlink, (), (path, user))

// Answered by the directory's FileStatus; from then on its changes come as Changes events, until
// the connection ends or the directory is gone (a Broken event). It uses up its connection.
// `recursive`: also what is below, directories that come later, too; links are not followed, other
// file systems not entered. More directories than kMaxWatchedDirectories are kLimit, or a kOverflow
// later on.
struct WatchFiles {
  base::Bytes path = {};
  base::Bytes user = {};
  bool recursive = false;
};
BOOST_DESCRIBE_STRUCT(WatchFiles, (), (path, user, recursive))

enum class ChangeKind {
  kCreated,     // or found in a directory that has just come
  kWritten,     // contents
  kAttributes,  // mode, owner, times
  kRemoved,
  kRenamedFrom,  // its old name; a kRenamedTo has the same cookie if the new one is watched, too
  kRenamedTo,
  kOverflow,  // changes were missed: more than the queue holds, or in directories beyond the limit
};
BOOST_DESCRIBE_ENUM(ChangeKind, kCreated, kWritten, kAttributes, kRemoved, kRenamedFrom, kRenamedTo,
                    kOverflow)

struct FileChange {
  ChangeKind kind = ChangeKind::kCreated;
  base::Bytes name = {};  // relative to the watched directory; empty: that itself
  bool directory = false;
  uint32_t cookie = 0;  // of a rename
};
BOOST_DESCRIBE_STRUCT(FileChange, (), (kind, name, directory, cookie))

// --- trees ---------------------------------------------------------------------------------------
// A file, or a directory with all that is in it, as one PAX tar stream: modes, times to the
// nanosecond, symbolic and hard links, holes. No attributes, no sockets. Each uses up its
// connection.

// Answered by the top's FileStatus; then the tar as data on stream 1, and its end (or a Broken
// event). What cannot be read is left out with a Skipped event.
struct Pack {
  base::Bytes path = {};
  base::Bytes user = {};
  base::Bytes name = {};   // of the top in the tar; empty: the top is left out, only what is in it
  bool follow = false;     // a top that is a symbolic link: what it leads to
  bool recursive = false;  // else a directory is kWrongKind
};
BOOST_DESCRIBE_STRUCT(Pack, (), (path, user, name, follow, recursive))

// A tar as data on stream 0 against credit, then its end; answered by Unpacked once all is written,
// by a failure at any time. Extracted into the directory `path`, which must exist. Files appear
// whole, over what has their name; directories that are there stay as they are.
struct Unpack {
  base::Bytes path = {};
  base::Bytes user = {};
  bool keep_owners = false;  // the tar's owners (numbers), where `user` may give files away
};
BOOST_DESCRIBE_STRUCT(Unpack, (), (path, user, keep_owners))

struct Unpacked {
  uint64_t entries = 0;
  uint64_t bytes = 0;    // of contents, without holes
  uint64_t skipped = 0;  // devices and FIFOs, which are never made
};
BOOST_DESCRIBE_STRUCT(Unpacked, (), (entries, bytes, skipped))

// --- the end -------------------------------------------------------------------------------------
// The signal to every process of ours, SIGKILL to all that is left after the grace, disks synced
// and made read-only, answer, power off. A second Shutdown with a shorter grace shortens the first.
struct Shutdown {
  uint32_t grace_ms = 10000;
  int32_t signal = 15;
};
BOOST_DESCRIBE_STRUCT(Shutdown, (), (grace_ms, signal))

// --- envelopes -----------------------------------------------------------------------------------
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
