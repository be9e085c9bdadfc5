// GuestFiles: the files of a sandbox for a command that does one thing after the other. Every call
// runs the event loop until it has its answer.
//
// Single thread. INT, TERM and HUP do not end the process: they end the call (kClosed), so that
// what is half done is undone; see interrupted_by. The end of the sandbox ends it as well. What
// comes from the guest is hostile; messages are escaped for a terminal.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "src/agent/client/control.h"
#include "src/agent/client/file_transfer.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/image/byte_source.h"
#include "src/sandbox/client.h"

namespace msb::cli {

class GuestFiles {
 public:
  static base::Result<std::unique_ptr<GuestFiles>> Connect(const std::string& sandbox);
  GuestFiles(const GuestFiles&) = delete;

  // Nothing if there is nothing of that name. Links are followed.
  base::Result<std::optional<agent::FileStatus>> Stat(const std::string& path,
                                                      const std::string& user);

  base::EventLoop& loop() { return *loop_; }
  base::Result<base::UniqueFd> ConnectAgent() { return client_->ConnectAgent(); }
  base::Status RunUntil(const std::function<bool()>& done);
  base::Status WaitReadable(int fd);
  int interrupted_by() const { return signal_; }  // 0: by nothing

  base::Error Failed(const agent::Failure& failure) const;

 private:
  explicit GuestFiles(std::string sandbox) : sandbox_(std::move(sandbox)) {}

  const std::string sandbox_;
  std::unique_ptr<base::EventLoop> loop_;
  base::SignalWatch signals_;
  int signal_ = 0;
  bool ended_ = false;
  std::unique_ptr<sandbox::Client> client_;
  std::unique_ptr<agent::Control> control_;
};

// A tree as it comes out of the guest.
class PackStream : public image::ByteSource {
 public:
  using OnSkipped = std::function<void(const agent::Skipped&)>;

  // Returns once the guest has found the top. `files` must outlive it.
  static base::Result<std::unique_ptr<PackStream>> Open(GuestFiles& files,
                                                        const agent::Pack& request,
                                                        OnSkipped on_skipped);

  const agent::FileStatus& top() const { return *top_; }
  base::Result<std::string_view> Next() override;
  uint64_t consumed() const override { return consumed_; }
  std::function<void(uint64_t bytes)> on_progress;

 private:
  // Enough to keep the disk busy while more arrives.
  static constexpr size_t kMaxBuffered = 512 * 1024;

  explicit PackStream(GuestFiles& files) : files_(files) {}
  bool over() const { return done_ || failure_; }

  GuestFiles& files_;
  std::unique_ptr<agent::FileTransfer> transfer_;
  std::optional<agent::FileStatus> top_;
  std::string arriving_;
  std::string current_;
  uint64_t consumed_ = 0;
  bool done_ = false;
  std::optional<agent::Failure> failure_;
};

// A tar on its way into the guest.
class UnpackStream {
 public:
  static base::Result<std::unique_ptr<UnpackStream>> Open(GuestFiles& files,
                                                          const agent::Unpack& request);

  // Waits for the guest to take it. Fails as soon as the guest has.
  base::Status Put(std::string_view data);
  base::Result<agent::Unpacked> Finish();
  std::function<void(uint64_t bytes)> on_progress;

 private:
  static constexpr size_t kGather = 64 * 1024;  // tars come in small pieces, too

  explicit UnpackStream(GuestFiles& files) : files_(files) {}
  base::Status Send(std::string_view data);
  base::Status CheckAlive() const;

  GuestFiles& files_;
  std::unique_ptr<agent::FileTransfer> transfer_;
  std::string gathered_;
  uint64_t sent_ = 0;
  std::optional<agent::Unpacked> unpacked_;
  bool done_ = false;
  std::optional<agent::Failure> failure_;
};

}  // namespace msb::cli
