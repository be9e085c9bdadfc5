// The REPL drivers' protocol as the host sees it (guest/repl/PROTOCOL.md): frames and messages.
//
// The driver runs beside code that nobody trusts: all that comes from it is hostile. Values and a
// pure parser; any thread. Errors: kProtocol, which ends the context.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/bytes.h"
#include "src/base/result.h"

namespace msb::server::repl {

inline constexpr size_t kMaxPayload = 8 * 1024 * 1024;
inline constexpr size_t kMaxCode = 4 * 1024 * 1024;
inline constexpr size_t kMaxTypes = 32;
inline constexpr size_t kMaxTypeName = 127;
inline constexpr size_t kMaxTracebackLines = 1000;

// --- to the driver
struct Run {
  uint64_t id = 0;
  base::Bytes code;
  bool echo = true;
};
BOOST_DESCRIBE_STRUCT(Run, (), (id, code, echo))

struct Interrupt {
  uint64_t id = 0;
};
BOOST_DESCRIBE_STRUCT(Interrupt, (), (id))

struct ToDriver {
  std::optional<Run> run;
  std::optional<Interrupt> interrupt;
};
BOOST_DESCRIBE_STRUCT(ToDriver, (), (run, interrupt))

// --- from the driver
struct Hello {
  uint32_t version = 0;
  uint32_t oldest = 0;
  std::string language;
  std::string language_version;
  std::string interrupt;  // "signal" or "message"
};
BOOST_DESCRIBE_STRUCT(Hello, (), (version, oldest, language, language_version, interrupt))

struct Output {
  std::optional<uint64_t> id;
  std::string stream;
  base::Bytes data;
};
BOOST_DESCRIBE_STRUCT(Output, (), (id, stream, data))

struct Display {
  std::optional<uint64_t> id;
  bool result = false;
  std::map<std::string, base::Bytes> data;
  std::map<std::string, uint64_t> omitted;
};
BOOST_DESCRIBE_STRUCT(Display, (), (id, result, data, omitted))

struct Error {
  std::optional<uint64_t> id;
  base::Bytes name;
  base::Bytes value;
  std::vector<base::Bytes> traceback;
  std::string stream;
};
BOOST_DESCRIBE_STRUCT(Error, (), (id, name, value, traceback, stream))

struct Done {
  uint64_t id = 0;
  std::string status;
};
BOOST_DESCRIBE_STRUCT(Done, (), (id, status))

struct Exit {
  std::optional<uint64_t> id;
  int32_t code = 0;
};
BOOST_DESCRIBE_STRUCT(Exit, (), (id, code))

struct FromDriver {
  std::optional<Hello> hello;
  std::optional<Output> output;
  std::optional<Display> display;
  std::optional<Error> error;
  std::optional<Done> done;
  std::optional<Exit> exit;
};
BOOST_DESCRIBE_STRUCT(FromDriver, (), (hello, output, display, error, done, exit))

// A message as it is sent: length and payload.
std::string EncodeFrame(const ToDriver& message);

// Takes bytes as they come, gives messages that keep to the protocol's bounds. Holds at most one
// frame.
class FrameReader {
 public:
  struct Message {
    FromDriver content;
    size_t bytes = 0;  // of its payload: what it costs to keep
  };
  // `sink` for each message that is complete. After an error nothing more is taken.
  base::Status Feed(std::string_view data, const std::function<void(Message)>& sink);

 private:
  std::string buffer_;
};

// The pure part: a payload.
base::Result<FromDriver> ParseMessage(std::string_view payload);

}  // namespace msb::server::repl
