// What the process that touches files says to whom it serves, without the latter.
#include "src/agent/guest/file_servant.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "src/agent/frame.h"
#include "src/base/json.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

class FileServantTest : public testing::Test {
 protected:
  void SetUp() override {
    base::Pair pair = base::MakeSocketPair(base::SocketType::kStream).value();
    pid_ = ::fork();
    if (pid_ == 0) RunFileServant(pair.second.get(), -1, {});
    socket_ = std::move(pair.first);
  }
  void TearDown() override {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  using Turns = std::vector<std::pair<Turn, uint32_t>>;
  // All that it says, up to the end of its request.
  Turns Serve(const FrameQueue& told) {
    EXPECT_TRUE(base::WriteFull(socket_.get(), told.front()).has_value());
    Turns turns;
    FrameReader reader(4096, kMaxPayload);
    while (turns.empty() || turns.back().first != Turn::kFinished) {
      const size_t got =
          base::Read(socket_.get(), std::as_writable_bytes(reader.Space())).value_or(0);
      if (got == 0) break;
      reader.Filled(got);
      while (const auto frame = reader.Next().value()) {
        if (frame->type != FrameType::kCredit) continue;
        turns.emplace_back(static_cast<Turn>(frame->stream), frame->credit);
      }
    }
    return turns;
  }

  pid_t pid_ = -1;
  base::UniqueFd socket_;
};

TEST_F(FileServantTest, AFrameIsAnsweredOnceInHoweverManyPiecesItComes) {
  constexpr uint32_t kBytes = 64 * 1024;  // with its header, more than is read at once
  const std::string path = testing::TempDir() + "servant_" + base::RandomHex(4);
  Request request;
  request.write_file = WriteFile{.path = path};
  FrameQueue told;
  told.Append(FrameType::kRequest, 0, base::json::Write(request));
  for (int i = 0; i < 4; ++i) told.Append(FrameType::kData, 0, std::string(kBytes, 'x'));
  told.Append(FrameType::kEnd, 0, {});
  const Turns expected = {{Turn::kData, 0},      {Turn::kData, kBytes}, {Turn::kData, kBytes},
                          {Turn::kData, kBytes}, {Turn::kData, kBytes}, {Turn::kFinished, 0}};
  EXPECT_EQ(Serve(told), expected);
  EXPECT_EQ(base::ReadFile(path, 1 << 20).value().size(), 4 * kBytes);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace msb::agent
