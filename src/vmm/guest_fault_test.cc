#include "src/vmm/guest_fault.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "src/base/sys.h"
#include "src/virtio/testing/fake_driver.h"

namespace msb::vmm {
namespace {

TEST(GuestFault, AGuestThatTruncatesItsMemoryEndsTheProcessWithAReason) {
  const base::Pair pair = base::MakeSocketPair(base::SocketType::kSeqPacket).value();
  const auto guest_breaks_its_memory = [&] {
    virtio::testing::FakeMemory guest;
    CHECK(HandleGuestFaults(pair.second.get(), "last words").has_value());
    GuardGuestMemory(&guest.memory());
    CHECK(::ftruncate(guest.fd(), 0) == 0);
    (void)guest.memory().Load<uint64_t>(virtio::testing::FakeMemory::kBase);
  };
  EXPECT_EXIT(guest_breaks_its_memory(), ::testing::ExitedWithCode(kGuestFaultExitCode), "");
  std::array<char, 64> buffer;
  const ssize_t got = ::recv(pair.first.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  ASSERT_GT(got, 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<size_t>(got)), "last words");
}

TEST(GuestFault, AFaultElsewhereIsAnOrdinaryCrash) {
  const auto crash = [] {
    virtio::testing::FakeMemory guest;
    CHECK(HandleGuestFaults(-1, "last words").has_value());
    GuardGuestMemory(&guest.memory());
    const base::UniqueFd file = base::CreateMemFd("other").value();
    CHECK(::ftruncate(file.get(), 4096) == 0);
    void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file.get(), 0);
    CHECK(::ftruncate(file.get(), 0) == 0);
    (void)*static_cast<volatile char*>(page);
  };
  EXPECT_EXIT(crash(), ::testing::KilledBySignal(SIGBUS), "");
}

TEST(GuestFault, LastWordsAreShort) { EXPECT_FALSE(HandleGuestFaults(-1, std::string(257, 'x'))); }

}  // namespace
}  // namespace msb::vmm
