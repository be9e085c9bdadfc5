#include "src/vmm/machine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/jail/seccomp.h"
#include "src/vmm/seccomp_policy.h"

namespace msb::vmm {
namespace {

using ::testing::HasSubstr;

// The monitor's side.
class MachineTest : public ::testing::Test {
 protected:
  MachineTest() : pair_(base::MakeSocketPair(base::SocketType::kSeqPacket).value()) {
    control_.emplace(std::move(pair_.second));
  }

  static base::UniqueFd Listener() {
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr address = {};
    address.sa_family = AF_UNIX;
    // An address of the kernel's choosing, in no file system.
    CHECK(::bind(fd.get(), &address, sizeof(sa_family_t)) == 0 && ::listen(fd.get(), 1) == 0);
    return fd;
  }
  static base::UniqueFd DiskFile() {
    base::UniqueFd fd = base::CreateMemFd("disk").value();
    CHECK(::ftruncate(fd.get(), 4096) == 0);
    return fd;
  }
  // Descriptors: 0 and 1 sockets, 2 a disk.
  static Start GoodStart() {
    Start start;
    start.disks = {{.read_only = false, .durable = false, .parts = {{2, 0, 4096}}}};
    start.listeners = {0, 1};
    start.memory_bytes = 1 << 20;
    return start;
  }
  base::Status Create(const Start& start) {
    std::vector<base::UniqueFd> fds;
    fds.push_back(Listener());
    fds.push_back(Listener());
    fds.push_back(DiskFile());
    machine_ = TRY(Machine::Create(*loop_, *control_, start, std::move(fds)));
    return {};
  }
  void Send(const ToVmm& message, std::vector<int> fds = {}) {
    const std::string text = base::json::Write(message);
    ASSERT_TRUE(base::SendWithFds(pair_.first.get(), std::as_bytes(std::span(text)), fds));
  }
  FromVmm Event() {
    std::array<std::byte, 4096> buffer;
    const auto received = base::ReceiveWithFds(pair_.first.get(), buffer, true).value();
    const std::string_view text(reinterpret_cast<const char*>(buffer.data()), received.size);
    return base::json::Parse<FromVmm>(text).value();
  }

  std::unique_ptr<base::EventLoop> loop_ = base::EventLoop::Create().value();
  base::Pair pair_;
  std::optional<Control> control_;
  std::unique_ptr<Machine> machine_;
};

TEST_F(MachineTest, ItSaysThatItHasStartedAndEndsWithTheMonitor) {
  ASSERT_TRUE(Create(GoodStart()));
  ::shutdown(pair_.first.get(), SHUT_WR);
  EXPECT_TRUE(machine_->Serve());
  EXPECT_EQ(Event().event, VmmEvent::kStarted);
}

TEST_F(MachineTest, AStartThatContradictsItselfIsRefused) {
  const auto refused = [this](auto&& change) {
    Start start = GoodStart();
    change(start);
    return !Create(start).has_value();
  };
  EXPECT_FALSE(refused([](Start&) {}));
  EXPECT_TRUE(refused([](Start& s) { s.listeners = {0}; }));
  EXPECT_TRUE(refused([](Start& s) { s.listeners = {0, 0}; }));
  EXPECT_TRUE(refused([](Start& s) { s.listeners = {0, 9}; }));
  EXPECT_TRUE(refused([](Start& s) { s.disks[0].parts[0].fd = 9; }));
  EXPECT_TRUE(refused([](Start& s) { s.disks[0].parts[0].fd = 1; }));
  EXPECT_TRUE(refused([](Start& s) { s.disks[0].parts[0].fd.reset(); }));
  EXPECT_TRUE(refused([](Start& s) { s.disks[0].parts.clear(); }));
  EXPECT_TRUE(refused([](Start& s) { s.disks[0].parts[0].length = 100; }));
}

TEST_F(MachineTest, ARequestThatIsNotUnderstoodEndsIt) {
  for (const ToVmm& message :
       std::vector<ToVmm>{ToVmm{}, ToVmm{.start = GoodStart(), .open_stream = {}, .resume = {}},
                          ToVmm{.start = {}, .open_stream = OpenStream{1, 1024}, .resume = {}},
                          ToVmm{.start = {}, .open_stream = {}, .resume = Resume{5}}}) {
    loop_ = base::EventLoop::Create().value();
    ASSERT_TRUE(Create(GoodStart()));
    Send(message);
    EXPECT_FALSE(machine_->Serve());
    EXPECT_EQ(Event().event, VmmEvent::kStarted);
    machine_.reset();
  }
}

TEST_F(MachineTest, ResumeOfADiskThatIsNotStoppedDoesNothing) {
  ASSERT_TRUE(Create(GoodStart()));
  Send({.start = {}, .open_stream = {}, .resume = Resume{0}});
  ::shutdown(pair_.first.get(), SHUT_WR);
  EXPECT_TRUE(machine_->Serve());
}

TEST_F(MachineTest, AStreamWaitsForTheAgent) {
  ASSERT_TRUE(Create(GoodStart()));
  const base::Pair stream = base::MakeSocketPair(base::SocketType::kStream).value();
  Send({.start = {}, .open_stream = OpenStream{1, 1024}, .resume = {}}, {stream.second.get()});
  ::shutdown(pair_.first.get(), SHUT_WR);
  EXPECT_TRUE(machine_->Serve());
  EXPECT_EQ(Event().event, VmmEvent::kStarted);
}

TEST_F(MachineTest, ABrokenGuestIsReportedAndEndsIt) {
  ASSERT_TRUE(Create(GoodStart()));
  machine_->GuestBroken("why");
  const base::Status result = machine_->Serve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "why");
  const FromVmm event = Event();
  EXPECT_EQ(event.event, VmmEvent::kGuestBroken);
  EXPECT_EQ(event.message, "why");
}

TEST(SeccompPolicy, CompilesAndGivesAReasonForEachCall) {
  for (const jail::Allowed& allowed : SeccompPolicy()) {
    EXPECT_FALSE(std::string_view(allowed.reason).empty()) << allowed.call;
  }
  EXPECT_TRUE(jail::CompileSeccomp(SeccompPolicy(), jail::Otherwise::kKillProcess));
}

}  // namespace
}  // namespace msb::vmm
