// msb server stop.
#include <cstdio>

#include "src/base/paths.h"
#include "src/server/program/commands.h"
#include "src/server/program/pid_file.h"

namespace msb::server {

base::Status RunStop() {
  const base::UniqueFd home =
      TRY(base::OpenHome(TRY(base::ResolveHome()), base::HomeMode::kMustExist));
  if (TRY(StopServer(home.get()))) return {};
  return base::Error(base::ErrorCode::kNotFound, "no server of yours runs");
}

}  // namespace msb::server
