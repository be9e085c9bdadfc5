// The agent protocol's versions, limits, frames and failures. Begin to read in protocol.h.
#pragma once

#include <boost/describe.hpp>

#include <cstddef>
#include <cstdint>

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
inline constexpr uint32_t kFilePatience_ms = 30'000;         // with a file system of the guest
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
  kBusy,          // stdin belongs to another attachment; shutting down; too much is stuck
  kTimeout,       // a file system of the guest has not answered
  kDisconnected,  // made up by the client: the stream ended
};
BOOST_DESCRIBE_ENUM(FailureCode, kSystem, kProtocol, kVersion, kUnsupported, kInvalid, kLimit,
                    kNotConfigured, kConfigure, kNoSuchProcess, kProcessExists, kProgramMissing,
                    kNotExecutable, kNoSuchUser, kBadWorkdir, kNotFound, kDenied, kWrongKind,
                    kExists, kNotEmpty, kNoSpace, kBusy, kTimeout, kDisconnected)

struct Failure {
  FailureCode code = FailureCode::kSystem;
  base::Bytes message = {};  // foreign text on the host: escape it before a terminal sees it
};
BOOST_DESCRIBE_STRUCT(Failure, (), (code, message))

}  // namespace msb::agent
