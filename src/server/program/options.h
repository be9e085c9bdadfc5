// What `msb server …` was asked to do: values that command_line.h makes of the words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/server/auth/token.h"

namespace msb::server {

inline constexpr uint16_t kDefaultPort = 5555;

struct StartOptions {
  std::vector<std::string> hosts;  // addresses; empty: 127.0.0.1
  uint16_t port = kDefaultPort;    // 0: any
  std::string directory;           // of the sandboxes' disks; empty: $MSB_HOME/namespaces
  bool dev = false;
  bool dev_any_user = false;
  std::optional<std::string> key;  // a file, "-" for standard input, or the key itself
  bool reset_key = false;
  bool detach = false;
  std::vector<std::string> host_names;
  std::vector<std::string> cors_origins;
};

struct KeygenOptions {
  uint64_t expire_ms = 24ull * 3600 * 1000;
  std::string namespace_ = "*";
  std::vector<std::string> images;
  LimitClaims limits;
  bool json = false;
};

struct ListOptions {
  std::vector<std::string> names;  // empty: all
  std::string namespace_ = "*";
  bool json = false;
};

struct LogOptions {
  std::string sandbox;     // NAME or NAMESPACE/NAME; empty: the server's own log
  std::string namespace_;  // empty: as the name says, or "default"
  bool follow = false;
  std::optional<uint64_t> tail;
};

struct ShellOptions {
  std::string sandbox;     // NAME or NAMESPACE/NAME
  std::string namespace_;  // empty: as the name says, or "default"
};

struct McpOptions {
  std::string directory;  // of the sandboxes' disks; empty: $MSB_HOME/namespaces
};

}  // namespace msb::server
