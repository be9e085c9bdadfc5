#include "src/server/program/detach.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "src/base/log.h"
#include "src/base/sys.h"

namespace msb::server {
namespace {

using base::ErrorCode;

constexpr char kReady = '+';
constexpr char kFailed = '-';
constexpr size_t kMaxWord = 64 << 10;

[[noreturn]] void RunChild(base::UniqueFd starter,
                           const std::function<base::Status(const Ready&)>& serve) {
  ::setsid();
  if (const auto null = base::OpenFile("/dev/null", O_RDWR); null) {
    ::dup2(null->get(), STDIN_FILENO);
    ::dup2(null->get(), STDOUT_FILENO);
  }
  const base::Status served = serve([&](const std::string& message) {
    (void)base::WriteFull(starter.get(), kReady + message);
    starter.Reset();
  });
  if (!served && starter) {
    (void)base::WriteFull(starter.get(), kFailed + served.error().message());
  } else if (!served) {
    LOG(kError, "{}", served.error().message());
  }
  ::_exit(served ? 0 : 1);
}

}  // namespace

base::Result<std::string> Detach(const std::function<base::Status(const Ready&)>& serve) {
  base::Pair pipe = TRY(base::MakePipe());
  const pid_t child = ::fork();
  if (child < 0) return base::FailErrno("cannot start the server's process");
  if (child == 0) {
    pipe.first.Reset();
    RunChild(std::move(pipe.second), serve);
  }
  pipe.second.Reset();
  std::string word = TRY(base::ReadToEnd(pipe.first.get(), kMaxWord));
  if (word.empty()) {
    return base::Error(ErrorCode::kSystem,
                       "the server ended before it could be used: msb server log says more");
  }
  const char kind = word.front();
  word.erase(0, 1);
  if (kind == kReady) return word;
  return base::Error(ErrorCode::kSystem, std::move(word));
}

}  // namespace msb::server
