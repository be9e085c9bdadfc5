#include "src/base/sock_diag.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "src/base/unique_fd.h"

namespace msb::base {
namespace {

class SockDiag : public testing::Test {
 protected:
  SockDiag() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = Loopback(0);
    CHECK(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(::listen(listener_.get(), 4) == 0);
    here_ = EndOf(listener_.get(), ::getsockname);
  }

  static sockaddr_in Loopback(uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  template <typename GetName>
  static TcpEnd EndOf(int fd, GetName get_name) {
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    CHECK(get_name(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    TcpEnd end;
    std::memcpy(&end.address, &address.sin_addr, sizeof address.sin_addr);
    end.port = ntohs(address.sin_port);
    return end;
  }

  UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = Loopback(here_.port);
    CHECK(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  UniqueFd Accept() const { return UniqueFd(::accept(listener_.get(), nullptr, nullptr)); }

  UniqueFd listener_;
  TcpEnd here_;
};

TEST_F(SockDiag, KnowsWhoseTheOtherEndIs) {
  const UniqueFd client = Connect();
  const UniqueFd accepted = Accept();
  const auto owner = FindTcpSocket(EndOf(accepted.get(), ::getpeername), here_);
  ASSERT_TRUE(owner && *owner) << owner.error().message();
  EXPECT_EQ((*owner)->uid, ::getuid());
  EXPECT_NE((*owner)->inode, 0u);
  EXPECT_TRUE((*owner)->established);
}

TEST_F(SockDiag, APeerThatHasClosedIsNotTakenForRoot) {
  UniqueFd client = Connect();
  const UniqueFd accepted = Accept();
  const TcpEnd peer = EndOf(accepted.get(), ::getpeername);
  client.Reset();
  const auto owner = FindTcpSocket(peer, here_);
  ASSERT_TRUE(owner) << owner.error().message();
  if (*owner) EXPECT_TRUE((*owner)->inode == 0 || !(*owner)->established);
}

TEST_F(SockDiag, KnowsASocketOfAnotherUser) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  constexpr uid_t kSomebody = 65534;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(kSomebody) != 0) ::_exit(1);
    const UniqueFd client = Connect();
    char end;
    (void)!::read(client.get(), &end, 1);  // until the parent has looked
    ::_exit(0);
  }
  UniqueFd accepted = Accept();
  const auto owner = FindTcpSocket(EndOf(accepted.get(), ::getpeername), here_);
  accepted.Reset();
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(owner && *owner);
  EXPECT_EQ((*owner)->uid, kSomebody);
  EXPECT_TRUE((*owner)->established);
}

TEST_F(SockDiag, ASocketThatIsNotThereIsAbsent) {
  TcpEnd nowhere = here_;
  nowhere.port = 1;
  const auto owner = FindTcpSocket(nowhere, here_);
  ASSERT_TRUE(owner);
  EXPECT_FALSE(*owner);
}

}  // namespace
}  // namespace msb::base
