// Config: what a client asks a sandbox to be made of, checked: completed, within bounds, and
// without reach to the host (spec: server, "no host reach"). Pure. Errors: kInvalid names the value
// and what is allowed, kDenied what the caller's key does not allow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/result.h"
#include "src/server/api/sandbox.h"
#include "src/server/auth/caller.h"

namespace msb::server {

// 1 to 63 of A-Z a-z 0-9 _ -, the first a letter or digit. `what`: "sandbox", "namespace".
base::Status CheckName(std::string_view what, std::string_view name);

// `given` over `stored`, with every default filled in. What needs an image and has none is
// kInvalid.
base::Result<api::Config> CompleteConfig(const std::optional<api::Config>& given,
                                         const std::optional<api::Config>& stored,
                                         std::string_view sandbox);

// The members in which two complete ones differ, for people: "memory (512, not 1024)"; empty: none.
std::string DifferenceOf(const api::Config& wanted, const api::Config& is);

// Whether two names of images are spellings of one: "busybox", "docker.io/library/busybox:latest".
bool IsSameName(std::string_view image, std::string_view other);

// Whether a key that is restricted to images of these patterns ('*' matches anything) may use the
// image that is called so: by its full name or the one that people write.
bool IsImageAllowed(const std::vector<std::string>& patterns, std::string_view name);

uint64_t MemoryBytes(const api::Config& config);  // of a complete one
uint64_t DiskBytes(const api::Config& config);
uint64_t Cpus(const api::Config& config);
std::optional<uint64_t> Milliseconds(const std::optional<double>& seconds);

// From `least` to `most`: kInvalid names the member. `unit`: "MiB", or none.
base::Status CheckWhole(std::string_view member, double value, double least, double most,
                        std::string_view unit = {});

// Absent, or up to a century: kInvalid names the member. 0 is allowed if `zero`.
base::Status CheckSeconds(std::string_view member, const std::optional<double>& seconds, bool zero);

}  // namespace msb::server
