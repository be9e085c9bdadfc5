// PidFile: $MSB_HOME/server.pid: which server this user has, for stop, status and a second start.
//
// Its lock says whether the server runs; what is written there, who it is. The lock ends with the
// process, so a kill -9 leaves nothing that has to be cleared. Any thread.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::server {

struct ServerRecord {
  int32_t pid = 0;
  std::vector<std::string> urls;
  std::string directory;  // of the sandboxes' disks
  std::string log;        // empty: where it was started
  int64_t started_s = 0;  // since 1970
};
BOOST_DESCRIBE_STRUCT(ServerRecord, (), (pid, urls, directory, log, started_s))

class PidFile {
 public:
  // kBusy, naming its address, if this user's server runs.
  static base::Result<PidFile> Take(int home_fd);
  base::Status Write(const ServerRecord& record) const;

 private:
  explicit PidFile(base::UniqueFd file) : file_(std::move(file)) {}
  base::UniqueFd file_;
};

struct FoundServer {
  bool running = false;
  ServerRecord record;  // of the last one, if none runs
};
// kNotFound if there never was one.
base::Result<FoundServer> FindServer(int home_fd);

// Tells the server to end, and waits until it has. False: none runs.
base::Result<bool> StopServer(int home_fd);

}  // namespace msb::server
