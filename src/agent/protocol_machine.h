// The agent protocol's requests about the machine: its beginning and its end. See protocol.h.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/bytes.h"

namespace msb::agent {

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

struct GivenFile {
  base::Bytes path = {};  // absolute, in the workload's root; its directories are made
  base::Bytes content = {};
  uint32_t mode = 0644;
};
BOOST_DESCRIBE_STRUCT(GivenFile, (), (path, content, mode))

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
  std::vector<GivenFile> files = {};    // there before any program runs
};
BOOST_DESCRIBE_STRUCT(Configure, (),
                      (epoch, clock_ns, entropy, hostname, lowers, upper, volumes, nameservers,
                       search, hosts, files))

struct Configured {
  uint64_t configure_us = 0;  // how long it took in the guest
  uint64_t uptime_us = 0;     // guest CLOCK_BOOTTIME when it was done
};
BOOST_DESCRIBE_STRUCT(Configured, (), (configure_us, uptime_us))

// --- the end -------------------------------------------------------------------------------------
// The signal to every process of ours, SIGKILL to all that is left after the grace, disks synced
// and made read-only, answer, power off. A second Shutdown with a shorter grace shortens the first.
struct Shutdown {
  uint32_t grace_ms = 10000;
  int32_t signal = 15;
};
BOOST_DESCRIBE_STRUCT(Shutdown, (), (grace_ms, signal))

}  // namespace msb::agent
