// A host's connection whose guest is played by the test: what the tests of the client share.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "src/agent/client/attachment.h"
#include "src/agent/client/control.h"
#include "src/agent/client/file_transfer.h"
#include "src/agent/frame.h"
#include "src/base/event_loop.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {

class Client : public testing::Test {
 protected:
  Client() { loop = base::EventLoop::Create().value(); }

  base::UniqueFd Connect() {
    base::Pair pair = base::MakeSocketPair(base::SocketType::kStream).value();
    guest = std::move(pair.first);
    return std::move(pair.second);
  }

  // What the guest says, in raw frames.
  void Say(FrameType type, unsigned stream, std::string_view payload) {
    FrameQueue queue;
    queue.Append(type, stream, payload);
    SayRaw(queue.front());
  }
  void SayRaw(std::string_view bytes) {
    ASSERT_EQ(::send(guest.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void SayHello() { Say(FrameType::kHello, 0, R"({"version":1,"oldest":1})"); }
  void SayStarted(const Started& started = {.pid = 2}) {
    Say(FrameType::kReply, 0, base::json::Write(Reply{.seq = 1, .started = started}));
  }
  void SayCredit(unsigned stream, uint32_t bytes) {
    FrameQueue queue;
    queue.AppendCredit(stream, bytes);
    SayRaw(queue.front());
  }

  // All that can happen without another word from the guest.
  void Settle() {
    while (loop->RunOnce(0).value()) {
    }
  }

  void Execute(const Exec& exec = {.id = std::string(32, '0'), .argv = {"x"}}) {
    attachment = Attachment::Execute(*loop, Connect(), exec, Callbacks()).value();
  }
  Attachment::Callbacks Callbacks() {
    return {.on_started = [this](const Started&) { log += "started "; },
            .on_stdout = [this](std::string_view data) { log += fmt::format("out:{} ", data); },
            .on_stderr = [this](std::string_view data) { log += fmt::format("err:{} ", data); },
            .on_extra = [this](unsigned stream,
                               std::string_view) { log += fmt::format("extra{} ", stream); },
            .on_end = [this](unsigned stream) { log += fmt::format("end{} ", stream); },
            .on_dropped = [this](unsigned, uint64_t n) { log += fmt::format("dropped{} ", n); },
            .on_writable = [this](unsigned stream) { log += fmt::format("writable{} ", stream); },
            .on_exit = [this](const Exited& e) { log += fmt::format("exit{} ", e.ShellCode()); },
            .on_failed =
                [this](const Failure& failure) {
                  log += "failed ";
                  failed = failure;
                }};
  }
  void ExpectViolation(std::string_view what) {
    Settle();
    ASSERT_TRUE(failed) << log;
    EXPECT_EQ(failed->code, FailureCode::kProtocol) << failed->message.data;
    EXPECT_NE(failed->message.data.find(what), std::string::npos) << failed->message.data;
    EXPECT_TRUE(log.ends_with("failed "));
  }

  std::unique_ptr<base::EventLoop> loop;
  base::UniqueFd guest;
  std::unique_ptr<Attachment> attachment;
  std::string log;
  std::optional<Failure> failed;
};

}  // namespace msb::agent
