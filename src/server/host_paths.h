// HostPaths: what the places of this server are called where clients read it: whoever calls over
// the network learns neither whose server it is nor where it keeps what.
//
// Immutable; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/result.h"

namespace msb::server {

class HostPaths {
 public:
  // `home`: of microsandbox. `directory`: of the sandboxes' disks.
  HostPaths(const std::string& home, const std::string& directory);

  // With "$MSB_HOME" and the like for what begins with one of them.
  std::string Hide(std::string_view text) const;
  // Says in the log what it hides.
  base::Error Hide(const base::Error& error) const;

 private:
  void Add(const std::string& path, std::string_view name);

  std::vector<std::pair<std::string, std::string>> names_;  // by path; what is within others first
};

}  // namespace msb::server
