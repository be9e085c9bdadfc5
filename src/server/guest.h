// Guest: the agent of one running sandbox, for coroutines: src/agent/client's callbacks, awaited.
//
// Owned by its Instance; one thread. Everything the agent says is foreign: its messages are escaped
// and become Errors here. kClosed: the sandbox has gone, and why is known (or not) to its Instance.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "src/agent/client/attachment.h"
#include "src/agent/client/control.h"
#include "src/agent/client/file_transfer.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/server/async.h"
#include "src/server/loop.h"

namespace msb::server {

base::Error ErrorOf(const agent::Failure& failure);

class Guest {
 public:
  // What a plain request may take: far more than a guest that does answer needs.
  static constexpr std::chrono::seconds kPatience{60};
  using Connect = std::function<base::Result<base::UniqueFd>()>;

  Guest(Loop& loop, Connect connect) : loop_(loop), connect_(std::move(connect)) {}
  Guest(const Guest&) = delete;

  Loop& loop() { return loop_; }
  // A new stream to the agent.
  base::Result<base::UniqueFd> NewStream() { return connect_(); }

  Async<base::Status> Signal(agent::Signal request);
  Async<base::Status> Resize(agent::Resize request);
  Async<base::Result<agent::Processes>> ListProcesses();
  // kTimeout: it has not ended by then.
  Async<base::Result<agent::Exited>> Wait(agent::Wait request, Clock::time_point deadline,
                                          Cancellation& cancellation);
  Async<base::Result<agent::FileStatus>> Stat(agent::StatFile request);
  Async<base::Result<std::string>> ReadSymlink(agent::ReadSymlink request);
  Async<base::Status> MakeDirectory(agent::MakeDirectory request);
  Async<base::Status> Remove(agent::Remove request);
  Async<base::Status> Rename(agent::Rename request);
  Async<base::Result<agent::FileStatus>> WriteFile(agent::WriteFile request, std::string content,
                                                   Cancellation& cancellation);

 private:
  template <typename T, typename Request>
  Async<base::Result<T>> Ask(void (agent::Control::*send)(const Request&, agent::OnAnswer<T>),
                             Request request, Clock::time_point deadline);
  base::Result<agent::Control*> ControlStream();

  Loop& loop_;
  Connect connect_;
  std::unique_ptr<agent::Control> control_;
  bool control_closed_ = false;
};

}  // namespace msb::server
