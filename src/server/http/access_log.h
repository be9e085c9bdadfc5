// AccessLog: one JSON line a request. Never a token, a header or a body. One thread.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "src/base/log.h"

namespace msb::server::http {

struct AccessRecord {
  std::string time;  // RFC 3339, when it was answered
  std::string request;
  std::string peer;
  std::string method;  // empty, like the path, if there was none that could be read
  std::string path;
  int status = 0;  // 0: the client had gone
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t us = 0;                  // from its last header field to the answer's last byte
  std::optional<std::string> key;   // its id
  std::optional<std::string> note;  // what was asked for, beyond the path
};
BOOST_DESCRIBE_STRUCT(AccessRecord, (),
                      (time, request, peer, method, path, status, bytes_in, bytes_out, us, key,
                       note))

class AccessLog {
 public:
  virtual ~AccessLog() = default;
  virtual void Write(AccessRecord record) = 0;
};

// Lines to a descriptor (not owned), at most so many a second: what is left out is counted, and
// the next line says so. A descriptor that takes nothing costs the line, not the server.
class FileAccessLog : public AccessLog {
 public:
  explicit FileAccessLog(int fd) : fd_(fd) {}
  void Write(AccessRecord record) override;

 private:
  int fd_;
  base::LogRate rate_{/*burst=*/1000, /*interval_ms=*/1};
  uint64_t left_out_ = 0;
};

}  // namespace msb::server::http
