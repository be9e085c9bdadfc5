// msb server start: which key, where, detached or not; then the server itself (serve.h).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "src/base/log.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/server/auth/server_key.h"
#include "src/server/http/peer_check.h"
#include "src/server/program/commands.h"
#include "src/server/program/serve.h"

namespace msb::server {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr size_t kMaxKeyFile = 4096;
constexpr std::string_view kDescriptors = "/proc/self/fd/";

// The key that was given on the command line stands in the list of processes for all to read, for
// as long as this process keeps its arguments: so it starts itself again, without it.
base::Error StartAgainWithKeyFrom(const std::string& key) {
  auto file = base::CreateMemFd("server.key");
  if (!file) return file.error();
  if (const base::Status written = base::WriteFull(file->get(), key); !written) {
    return written.error();
  }
  const std::string path = fmt::format("{}{}", kDescriptors, file->get());
  auto arguments = base::ReadFile("/proc/self/cmdline", 1 << 20);
  if (!arguments) return arguments.error();
  std::vector<std::string> words;
  for (size_t begin = 0; begin < arguments->size();) {
    words.emplace_back(arguments->c_str() + begin);
    begin += words.back().size() + 1;
  }
  for (std::string& word : words) {
    if (const size_t at = word.find(key); at != std::string::npos)
      word.replace(at, key.size(), path);
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  if (const base::Status kept = base::SetCloseOnExec(file->get(), false); !kept)
    return kept.error();
  ::execv("/proc/self/exe", argv.data());
  return base::FailErrno("cannot start the server again, without the key among its arguments");
}

base::Result<std::string> ReadGivenKey(const std::string& given) {
  if (given == "-") return CheckKey(TRY(base::ReadToEnd(STDIN_FILENO, kMaxKeyFile)));
  const auto file = base::OpenFile(given, O_RDONLY);
  if (!file) {
    const auto key = CheckKey(given);
    if (!key) {  // what was given may be a secret all the same, so it is not shown
      return Fail(ErrorCode::kInvalid, "--key names no file that can be read ({}), and {}",
                  base::ErrnoText(file.error().sys_errno()), key.error().message());
    }
    LOG(kWarning,
        "a key on the command line can be read by every user of this machine, and stays in the "
        "shell's history: give --key FILE, or --key - and the key on standard input");
    return StartAgainWithKeyFrom(*key);
  }
  // What StartAgainWithKeyFrom left open is not for the sandboxes' processes.
  if (given.starts_with(kDescriptors)) {
    TRY(base::SetCloseOnExec(std::atoi(given.c_str() + kDescriptors.size()), true));
  }
  return CheckKey(TRY(base::ReadToEnd(file->get(), kMaxKeyFile)));
}

// What the server's `key` and `key_is_new` are: nothing is stored that is not there already.
base::Status ChooseKey(const StartOptions& options, int home_fd, ServerOptions& server) {
  if (options.dev) {
    if (!options.key && !options.reset_key) return {};
    return Fail(ErrorCode::kInvalid, "--dev is a server without keys: leave out --key, or --dev");
  }
  if (options.reset_key && options.key) {
    return Fail(ErrorCode::kInvalid, "--reset-key makes a key, --key gives one: leave one out");
  }
  server.key_is_new = options.reset_key || options.key;
  if (options.reset_key) {
    server.key = MakeKey();
  } else if (options.key) {
    server.key = TRY(ReadGivenKey(*options.key));
  } else {
    server.key = TRY(LoadOrCreateKey(home_fd));
  }
  return {};
}

bool IsLoopback(const std::string& address) {
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(address, error);
  return !error && parsed.is_loopback();
}

base::Status CheckOptions(const StartOptions& options) {
  if (options.dev_any_user && !options.dev) {
    return Fail(ErrorCode::kInvalid, "--dev-any-user is for a server without keys: add --dev");
  }
  if (!options.dev) return {};
  for (const std::string& host : options.hosts) {
    if (IsLoopback(host)) continue;
    return Fail(ErrorCode::kInvalid,
                "--dev with --host {}: a server without keys listens on loopback addresses only. "
                "Leave out --dev, and give clients keys (msb server keygen)",
                host);
  }
  if (!options.dev_any_user) return http::CheckPeersAreKnown();
  return {};
}

}  // namespace

base::Status RunStart(const StartOptions& options) {
  TRY(CheckOptions(options));
  ServerOptions server;
  server.home = TRY(base::ResolveHome());
  const base::UniqueFd home = TRY(base::OpenHome(server.home, base::HomeMode::kCreate));
  server.hosts = options.hosts;
  if (server.hosts.empty()) server.hosts = {"127.0.0.1"};
  server.port = options.port;
  server.directory = options.directory.empty() ? server.home + "/namespaces" : options.directory;
  server.own_user_only = options.dev && !options.dev_any_user;
  for (const std::string& name : options.host_names) {
    server.policy.host_names.push_back(TRY(http::ParseHostName(name)));
  }
  for (const std::string& origin : options.cors_origins) {
    server.policy.cors_origins.push_back(TRY(http::ParseOrigin(origin)));
  }
  server.detached = options.detach;
  base::RaiseOpenFileLimit();
  {
    // Before anything is made: a second start must not touch the key of the first.
    const PidFile free = TRY(PidFile::Take(home.get()));
    TRY(ChooseKey(options, home.get(), server));
  }
  const auto serve = [&](const Ready& ready) { return Serve(server, ready); };
  const auto print = [](const std::string& message) {
    std::puts(message.c_str());
    std::fflush(stdout);
  };
  if (!options.detach) return serve(print);
  print(TRY(Detach(serve)));
  return {};
}

}  // namespace msb::server
