// What msb-monitor and msb-vmm say to each other: JSON messages, one a packet, on a SOCK_SEQPACKET
// pair (descriptor 3 of msb-vmm), descriptors by SCM_RIGHTS. Descriptors are named by their index
// in the packet that brings them. The monitor speaks first with Start. End of file on either side
// ends msb-vmm.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace msb::vmm {

inline constexpr int kControlFd = 3;
inline constexpr size_t kMaxControlMessage = 256 * 1024;

// A run of bytes of a disk. Parts follow one another on the disk without gaps.
struct DiskPart {
  std::optional<uint32_t> fd;  // absent: reads as zeroes (padding)
  uint64_t offset = 0;         // in the file
  uint64_t length = 0;         // multiple of 512; what lies beyond the file's end reads as zeroes
};
BOOST_DESCRIBE_STRUCT(DiskPart, (), (fd, offset, length))

struct Disk {
  bool read_only = true;
  // Flush is fdatasync. False for temporary disks, which nobody will ever read again.
  bool durable = true;
  std::vector<DiskPart> parts;  // a writable disk has exactly one
};
BOOST_DESCRIBE_STRUCT(Disk, (), (read_only, durable, parts))

// monitor -> vmm, first message. listeners[i] is the descriptor index of the listening vhost-user
// socket of device i: the disks in order, then vsock.
struct Start {
  std::vector<Disk> disks;
  std::vector<uint32_t> listeners;
  uint64_t memory_bytes = 0;  // the guest's RAM; a larger memory file is refused
  uint32_t guest_cid = 3;
};
BOOST_DESCRIBE_STRUCT(Start, (), (disks, listeners, memory_bytes, guest_cid))

// monitor -> vmm, any time after: a new stream to the guest's vsock port; the packet's one
// descriptor is the host's end (SOCK_STREAM). Requests made before the guest's agent listens wait
// for it.
struct OpenStream {
  uint32_t id = 0;  // chosen by the monitor, named in StreamFailed
  uint32_t port = 0;
};
BOOST_DESCRIBE_STRUCT(OpenStream, (), (id, port))

// monitor -> vmm: try again what a full host disk stopped (msb-vmm does so itself every second).
struct Resume {
  uint32_t disk = 0;  // index in Start::disks
};
BOOST_DESCRIBE_STRUCT(Resume, (), (disk))

struct ToVmm {  // exactly one is set
  std::optional<Start> start;
  std::optional<OpenStream> open_stream;
  std::optional<Resume> resume;
};
BOOST_DESCRIBE_STRUCT(ToVmm, (), (start, open_stream, resume))

enum class VmmEvent {
  kStarted,         // devices are ready to be connected to
  kAgentListening,  // the guest's agent accepts streams; said once
  kStreamFailed,    // `id`: refused or timed out by the guest
  kGuestBroken,  // `message`: the guest broke a device beyond repair, or its memory; msb-vmm ends
  kDiskFailed,   // `disk`, `message`: the host's disk failed (a flush that cannot be retried);
                 // msb-vmm ends
  kDiskFull,     // `disk`, `message`: the host has no room; the disk's requests wait, none fails
  kDiskResumed,  // `disk`: there is room again, the requests go on
};
BOOST_DESCRIBE_ENUM(VmmEvent, kStarted, kAgentListening, kStreamFailed, kGuestBroken, kDiskFailed,
                    kDiskFull, kDiskResumed)

struct FromVmm {
  VmmEvent event = VmmEvent::kStarted;
  std::optional<uint32_t> id = {};    // of a stream
  std::optional<uint32_t> disk = {};  // index in Start::disks
  std::optional<std::string> message = {};
};
BOOST_DESCRIBE_STRUCT(FromVmm, (), (event, id, disk, message))

}  // namespace msb::vmm
