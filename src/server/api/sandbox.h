// The API's messages about sandboxes themselves. spec: docs/api.md is generated from these.
//
// Values; member names are the protocol's, but for the underscore after a keyword (base/json.h).
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/server/api/doc.h"

namespace msb::server::api {

inline constexpr Doc kSandboxDoc = {"sandbox",
                                    "Name of the sandbox: 1 to 63 of A-Z a-z 0-9 _ -, the first "
                                    "a letter or digit"};
inline constexpr Doc kNamespaceDoc = {"namespace_",
                                      "Namespace of the sandbox; default: the key's own, or "
                                      "\"default\" if the key is for all"};

// Which sandbox: what most calls have.
struct SandboxRef {
  std::string sandbox;
  std::string namespace_ = "default";
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox"});
  static constexpr auto kDocs = Docs({kSandboxDoc, kNamespaceDoc});
};
BOOST_DESCRIBE_STRUCT(SandboxRef, (), (sandbox, namespace_))

struct Config {
  std::optional<std::string> image;
  std::optional<double> memory;
  std::optional<double> cpus;
  std::optional<double> disk;
  std::vector<std::string> volumes;
  std::vector<std::string> ports;
  std::vector<std::string> envs;
  std::optional<std::string> env_file;
  std::vector<std::string> depends_on;
  std::optional<std::string> workdir;
  std::optional<std::string> user;
  std::optional<std::string> shell;
  std::map<std::string, std::string> scripts;
  std::optional<std::string> exec;
  std::optional<double> lifetime;
  std::optional<double> idle;
  static constexpr auto kDocs = Docs({
      {"image", "Reference of an image that the host has, such as microsandbox/python"},
      {"memory", "RAM in MiB; default 1024"},
      {"cpus",
       "Virtual CPUs; default 1. More than the engine has (uml: 1) are taken as what it has, and "
       "the result says so"},
      {"disk", "Size of the writable disk in MiB, a hard limit; default 8192"},
      {"volumes", "Must be empty: this version shares no directories of the host"},
      {"ports", "Must be empty: this version publishes no ports"},
      {"envs", "Environment as NAME=VALUE, after the image's"},
      {"env_file", "Refused: a path of the host"},
      {"depends_on", "Must be empty: this version starts no other sandboxes with it"},
      {"workdir",
       "Working directory of programs and code, made if it is missing; default the image's, or /"},
      {"user", "User of programs and code, as user[:group]; default the image's, or root"},
      {"shell", "Shell that runs scripts; default /bin/sh"},
      {"scripts",
       "Scripts by name; \"start\" is run when the sandbox starts, unless exec is given"},
      {"exec",
       "Program that is started with the sandbox, by its shell; its end does not end the sandbox"},
      {"lifetime", "Seconds after which the sandbox is stopped; default no limit"},
      {"idle", "Seconds without a request after which the sandbox is stopped; default no limit"},
  });
};
BOOST_DESCRIBE_STRUCT(Config, (),
                      (image, memory, cpus, disk, volumes, ports, envs, env_file, depends_on,
                       workdir, user, shell, scripts, exec, lifetime, idle))

struct StartParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::optional<Config> config;
  bool reset = false;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"config",
       "What it is made of; absent, or without an image: as it was started before. A "
       "sandbox that runs already is left as it is, if the configuration is the same"},
      {"reset",
       "Forget its disk first: needed where the image is another than the disk was made over"},
  });
};
BOOST_DESCRIBE_STRUCT(StartParams, (), (sandbox, namespace_, config, reset))

struct StopParams {
  std::string sandbox;
  std::string namespace_ = "default";
  double grace = 10;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"grace", "Seconds that its programs have to end before they are killed; default 10"},
  });
};
BOOST_DESCRIBE_STRUCT(StopParams, (), (sandbox, namespace_, grace))

struct ListParams {
  std::string namespace_ = "default";
  bool stopped = true;
  static constexpr auto kDocs = Docs({
      {"namespace_",
       "Namespace, or * for all if the key is for all; default: the key's own, or \"default\" if "
       "the key is for all"},
      {"stopped", "Also those that do not run, but have a disk; default true"},
  });
};
BOOST_DESCRIBE_STRUCT(ListParams, (), (namespace_, stopped))

enum class SandboxStatus { kStarting, kRunning, kPaused, kStopping, kStopped };
BOOST_DESCRIBE_ENUM(SandboxStatus, kStarting, kRunning, kPaused, kStopping, kStopped)

struct SandboxInfo {
  std::string namespace_;
  std::string name;
  SandboxStatus status = SandboxStatus::kStopped;
  std::string id;
  std::string image;
  uint64_t memory = 0;
  uint64_t disk = 0;
  std::optional<std::string> created;
  std::optional<std::string> ends;
  std::optional<double> idle;
  std::optional<std::string> last_end;
  static constexpr auto kDocs = Docs({
      {"namespace_", "Namespace"},
      {"name", "Name"},
      {"status", "paused: the host's disk is full, what writes waits"},
      {"id", "128-bit id of this run, hexadecimal; empty if it is stopped"},
      {"image", "Image it is made over"},
      {"memory", "RAM in MiB"},
      {"disk", "Bytes that its disk takes on the host"},
      {"created", "When it was started (RFC 3339); absent if it is stopped"},
      {"ends", "When its lifetime is over (RFC 3339); absent: never"},
      {"idle", "Seconds without a request after which it is stopped; absent: never"},
      {"last_end", "Why it ended last, if that is known and it is stopped"},
  });
};
BOOST_DESCRIBE_STRUCT(SandboxInfo, (),
                      (namespace_, name, status, id, image, memory, disk, created, ends, idle,
                       last_end))

struct ListResult {
  std::vector<SandboxInfo> sandboxes;
  static constexpr auto kDocs = Docs({{"sandboxes", "In the order of namespace and name"}});
};
BOOST_DESCRIBE_STRUCT(ListResult, (), (sandboxes))

struct TimeoutParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::optional<double> lifetime;
  std::optional<double> idle;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"lifetime", "Seconds from now after which it is stopped; absent: as it is; 0: no limit"},
      {"idle",
       "Seconds without a request after which it is stopped; absent: as it is; 0: no limit"},
  });
};
BOOST_DESCRIBE_STRUCT(TimeoutParams, (), (sandbox, namespace_, lifetime, idle))

struct TimeoutResult {
  std::optional<std::string> ends;
  std::optional<double> idle;
  static constexpr auto kDocs = Docs({
      {"ends", "When its lifetime is over (RFC 3339); absent: never"},
      {"idle", "Seconds without a request after which it is stopped; absent: never"},
  });
};
BOOST_DESCRIBE_STRUCT(TimeoutResult, (), (ends, idle))

struct LogsParams {
  std::string sandbox;
  std::string namespace_ = "default";
  double tail = 1000;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"tail", "The last so many lines, at most 10000; default 1000"},
  });
};
BOOST_DESCRIBE_STRUCT(LogsParams, (), (sandbox, namespace_, tail))

struct LogLine {
  std::string time;
  std::string stream;
  std::string text;
  static constexpr auto kDocs = Docs({
      {"time", "When it was written (RFC 3339)"},
      {"stream", "stdout or stderr"},
      {"text", "The line, without its newline"},
  });
};
BOOST_DESCRIBE_STRUCT(LogLine, (), (time, stream, text))

struct LogsResult {
  std::vector<LogLine> lines;
  static constexpr auto kDocs =
      Docs({{"lines", "What the sandbox's own program wrote, oldest first"}});
};
BOOST_DESCRIBE_STRUCT(LogsResult, (), (lines))

struct MetricsParams {
  std::optional<std::string> sandbox;
  std::string namespace_ = "default";
  static constexpr auto kDocs = Docs({
      {"sandbox", "Name of one; absent: all that run"},
      {"namespace_",
       "Namespace, or * for all if the key is for all; default: the key's own, or \"default\" if "
       "the key is for all"},
  });
};
BOOST_DESCRIBE_STRUCT(MetricsParams, (), (sandbox, namespace_))

struct SandboxMetrics {
  std::string namespace_;
  std::string name;
  bool running = false;
  base::json::Value cpu_usage;  // number or null: these keys are always there
  base::json::Value memory_usage;
  base::json::Value disk_usage;
  static constexpr auto kDocs = Docs({
      {"namespace_", "Namespace"},
      {"name", "Name"},
      {"running", "Whether it runs"},
      {"cpu_usage", "CPU time since the last look, in percent of one host CPU; null if unknown"},
      {"memory_usage", "Memory it has on the host, in MiB; null if unknown"},
      {"disk_usage", "Bytes that its disk takes on the host; null if unknown"},
  });
};
BOOST_DESCRIBE_STRUCT(SandboxMetrics, (),
                      (namespace_, name, running, cpu_usage, memory_usage, disk_usage))

struct MetricsResult {
  std::vector<SandboxMetrics> sandboxes;
  static constexpr auto kDocs = Docs({{"sandboxes", "In the order of namespace and name"}});
};
BOOST_DESCRIBE_STRUCT(MetricsResult, (), (sandboxes))

}  // namespace msb::server::api
