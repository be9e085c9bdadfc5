#include "src/server/config.h"

#include <boost/describe.hpp>
#include <boost/mp11.hpp>

#include <cmath>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/image/disk.h"
#include "src/image/reference.h"
#include "src/sandbox/environment.h"
#include "src/sandbox/names.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr double kMinMemory_mib = 64;
constexpr double kMaxMemory_mib = 64 * 1024;
constexpr double kMaxCpus = 1024;
constexpr double kMaxSeconds = 100.0 * 366 * 24 * 3600;
constexpr size_t kMaxText = 64 * 1024;     // of one value
constexpr size_t kMaxConfig = 256 * 1024;  // of all of it, as JSON
constexpr double kMiB = 1 << 20;

std::string Quote(std::string_view text) { return base::EscapeForTerminal(text.substr(0, 128)); }

template <typename T>
base::Status MustBeEmpty(std::string_view member, const T& values, std::string_view why) {
  if (values.empty()) return {};
  return Fail(ErrorCode::kInvalid, "config.{}: {}; leave it out", member, why);
}

base::Status CheckText(std::string_view member, std::string_view text) {
  if (text.size() <= kMaxText && text.find('\0') == std::string_view::npos) return {};
  return Fail(ErrorCode::kInvalid, "config.{}: longer than {} KiB, or with U+0000", member,
              kMaxText >> 10);
}

// Nothing of the host can be reached through a configuration.
base::Status CheckNoHost(const api::Config& config) {
  TRY(MustBeEmpty("volumes", config.volumes,
                  "this version shares no directories of the host with sandboxes"));
  TRY(MustBeEmpty("ports", config.ports, "this version publishes no ports of sandboxes"));
  TRY(MustBeEmpty("depends_on", config.depends_on,
                  "this version starts no other sandboxes with one"));
  if (config.env_file) {
    return Fail(ErrorCode::kInvalid,
                "config.env_file: the server reads no files of its host for a client; give the "
                "variables as config.envs");
  }
  return {};
}

base::Status CheckImage(const std::string& image) {
  if (image.starts_with('/') || image.starts_with('.')) {
    return Fail(ErrorCode::kInvalid,
                "config.image: {} is a path; over the API an image is a reference, such as "
                "microsandbox/python",
                Quote(image));
  }
  return {};  // the rest is the store's business
}

base::Status CheckValues(const api::Config& config) {
  if (config.memory) {
    TRY(CheckWhole("config.memory", *config.memory, kMinMemory_mib, kMaxMemory_mib, "MiB"));
  }
  if (config.cpus) TRY(CheckWhole("config.cpus", *config.cpus, 1, kMaxCpus));
  if (config.disk) {
    TRY(CheckWhole("config.disk", *config.disk, static_cast<double>(image::kMinDiskBytes >> 20),
                   static_cast<double>(image::kMaxDiskBytes >> 20), "MiB"));
  }
  TRY(CheckSeconds("config.lifetime", config.lifetime, /*zero=*/false));
  TRY(CheckSeconds("config.idle", config.idle, /*zero=*/false));
  for (const std::string& env : config.envs) {
    TRY(CheckText("envs", env));
    TRY(sandbox::ParseEnv(env).WithContext("config.envs"));
  }
  if (config.workdir && !config.workdir->starts_with('/')) {
    return Fail(ErrorCode::kInvalid, "config.workdir: {} is not an absolute path",
                Quote(*config.workdir));
  }
  for (const auto& [name, script] : config.scripts) {
    if (!sandbox::IsSandboxName(name)) {
      return Fail(ErrorCode::kInvalid,
                  "config.scripts: {} cannot be a script's name: 1 to 63 of A-Z a-z 0-9 _ -",
                  Quote(name));
    }
    TRY(CheckText("scripts", script));
  }
  for (const auto* text : {&config.workdir, &config.user, &config.shell, &config.exec}) {
    if (*text) TRY(CheckText("workdir, user, shell or exec", **text));
  }
  return {};
}

// The given members over the others.
api::Config Overlay(const api::Config& given, api::Config result) {
  using Members = boost::describe::describe_members<api::Config, boost::describe::mod_public>;
  boost::mp11::mp_for_each<Members>([&](auto member) {
    const auto& value = given.*member.pointer;
    bool set = false;
    if constexpr (requires { value.has_value(); }) {
      set = value.has_value();
    } else {
      set = !value.empty();
    }
    if (set) result.*member.pointer = value;
  });
  return result;
}

bool Matches(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (size_t at = star; at <= text.size(); ++at) {
    if (Matches(rest, text.substr(at))) return true;
  }
  return false;
}

}  // namespace

base::Status CheckName(std::string_view what, std::string_view name) {
  if (sandbox::IsSandboxName(name)) return {};
  return Fail(ErrorCode::kInvalid,
              "{}: {} is no name: 1 to 63 of A-Z a-z 0-9 _ -, the first a letter or digit", what,
              name.empty() ? "\"\"" : Quote(name));
}

base::Status CheckWhole(std::string_view member, double value, double least, double most,
                        std::string_view unit) {
  if (value >= least && value <= most && value == std::floor(value)) return {};
  return Fail(ErrorCode::kInvalid, "{}: {} is not a whole number {}{}{}from {} to {}", member,
              value, unit.empty() ? "" : "of ", unit, unit.empty() ? "" : " ", least, most);
}

base::Status CheckSeconds(std::string_view member, const std::optional<double>& seconds,
                          bool zero) {
  if (!seconds || (zero && *seconds == 0)) return {};
  if (*seconds > 0 && *seconds <= kMaxSeconds) return {};
  return Fail(ErrorCode::kInvalid, "{}: {} is not a number of seconds {} a century", member,
              *seconds, zero ? "from 0 to" : "above 0, up to");
}

base::Result<api::Config> CompleteConfig(const std::optional<api::Config>& given,
                                         const std::optional<api::Config>& stored,
                                         std::string_view sandbox) {
  api::Config config = stored.value_or(api::Config{});
  if (given) {
    TRY(CheckNoHost(*given));
    TRY(CheckValues(*given));
    // With an image it is a configuration of its own; without, changes of the earlier one.
    config = given->image ? *given : Overlay(*given, std::move(config));
  }
  if (!config.image || config.image->empty()) {
    return Fail(ErrorCode::kInvalid,
                "sandbox {} was not started before: give config.image, such as "
                "microsandbox/python",
                sandbox);
  }
  TRY(CheckImage(*config.image));
  constexpr double kDefaultMemory_mib = 1024;
  if (!config.memory) config.memory = kDefaultMemory_mib;
  if (!config.cpus) config.cpus = 1;
  if (!config.disk) config.disk = static_cast<double>(image::kDefaultDiskBytes >> 20);
  if (!config.shell) config.shell = "/bin/sh";
  if (const size_t size = base::json::Write(config).size(); size > kMaxConfig) {
    return Fail(ErrorCode::kInvalid, "config: {} KiB as JSON; at most {} KiB", size >> 10,
                kMaxConfig >> 10);
  }
  return config;
}

std::string DifferenceOf(const api::Config& wanted, const api::Config& is) {
  std::string difference;
  using Members = boost::describe::describe_members<api::Config, boost::describe::mod_public>;
  boost::mp11::mp_for_each<Members>([&](auto member) {
    if (wanted.*member.pointer == is.*member.pointer) return;
    const auto write = [](const auto& value) { return Quote(base::json::Write(value)); };
    difference += fmt::format("{}{} ({}, not {})", difference.empty() ? "" : ", ", member.name,
                              write(is.*member.pointer), write(wanted.*member.pointer));
  });
  return difference;
}

bool IsSameName(std::string_view image, std::string_view other) {
  if (image == other) return true;
  const auto first = image::ParseReference(image);
  const auto second = image::ParseReference(other);
  return first && second && first->FullName() == second->FullName();
}

bool IsImageAllowed(const std::vector<std::string>& patterns, std::string_view name) {
  std::vector<std::string> names = {std::string(name)};
  if (const auto reference = image::ParseReference(name)) {
    names.push_back(reference->TaggedName());
    names.push_back(reference->ShortName());
    names.push_back(reference->Repository());
  }
  for (const std::string& pattern : patterns) {
    for (const std::string& candidate : names) {
      if (Matches(pattern, candidate)) return true;
    }
  }
  return false;
}

uint64_t MemoryBytes(const api::Config& config) {
  return static_cast<uint64_t>(config.memory.value() * kMiB);
}

uint64_t DiskBytes(const api::Config& config) {
  return static_cast<uint64_t>(config.disk.value() * kMiB);
}

uint64_t Cpus(const api::Config& config) { return static_cast<uint64_t>(config.cpus.value()); }

std::optional<uint64_t> Milliseconds(const std::optional<double>& seconds) {
  if (!seconds) return std::nullopt;
  return static_cast<uint64_t>(*seconds * 1000);
}

}  // namespace msb::server
