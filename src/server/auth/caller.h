// Caller: who makes a call, and what that one may do. Made from a key (auth/key.h), or for a server
// without keys (--dev) once and for all. Value; immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/server/http/memory_budget.h"

namespace msb::server {

// What a key may use at once, over all of its sandboxes. Absent: no limit.
struct Limits {
  std::optional<uint64_t> sandboxes;
  std::optional<uint64_t> memory_mib;
  std::optional<uint64_t> cpus;
  std::optional<uint64_t> disk_mib;
};

struct Caller {
  // Whose limits count together: the key's own id; "dev" without keys.
  std::string key_id;
  std::string namespace_ = "*";             // the only one, or "*"
  std::optional<int64_t> expires_s = {};    // since 1970: the key is void from then on
  std::vector<std::string> images = {"*"};  // patterns of references, '*' matches anything
  Limits limits = {};
  // What its request makes the server hold, until nobody needs this any more. Absent: uncounted.
  std::shared_ptr<http::MemoryBudget::Hold> hold = {};

  // So many bytes more, which are counted if it may.
  bool MayHold(size_t bytes) const { return !hold || hold->Take(bytes).has_value(); }
  // Of what it names without a namespace.
  std::string OwnNamespace() const { return namespace_ == "*" ? "default" : namespace_; }
  bool MayUseNamespace(std::string_view name) const {
    return namespace_ == "*" || namespace_ == name;
  }
};

}  // namespace msb::server
