#include "src/virtio/queue.h"

#include <gtest/gtest.h>

#include <vector>

#include "src/virtio/testing/fake_driver.h"

namespace msb::virtio {
namespace {

using testing::FakeDescriptor;
using testing::FakeMemory;
using testing::FakeQueue;
using testing::kFlagIndirect;
using testing::kFlagNext;
using testing::kFlagWrite;
using testing::ToBytes;

constexpr uint16_t kSize = 16;
constexpr uint64_t kAllFeatures = kFeatureIndirect | kFeatureEventIndex;

class QueueTest : public ::testing::Test {
 protected:
  explicit QueueTest(uint64_t features = kAllFeatures) {
    CHECK(queue_.Start(guest_.memory(), driver_.layout(), features).has_value());
  }
  Queue::Pop Pop() { return queue_.PopChain(chain_); }
  // One raw descriptor at index 0, made available.
  void SendRaw(const FakeDescriptor& descriptor) {
    driver_.SetDescriptor(0, descriptor);
    driver_.MakeAvailable(0);
  }
  void ExpectReturned(uint16_t head) {
    EXPECT_EQ(Pop(), Queue::Pop::kReturned);
    const auto used = driver_.TryUsed();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->head, head);
    EXPECT_EQ(used->written, 0u);
    EXPECT_FALSE(queue_.broken());
  }
  void ExpectGoesOn() {
    driver_.Chain().Readable(ToBytes("x")).Send();
    EXPECT_EQ(Pop(), Queue::Pop::kChain);
  }

  FakeMemory guest_;
  FakeQueue driver_{guest_, kSize};
  Queue queue_{256};
  Chain chain_;
};

class PlainQueueTest : public QueueTest {
 protected:
  PlainQueueTest() : QueueTest(0) {}
};

// --- requests ------------------------------------------------------------------------------------

TEST_F(QueueTest, AChainHasItsReadablePartsThenItsWritableParts) {
  driver_.Chain().Readable(ToBytes("ab")).Readable(ToBytes("cde")).Writable(7).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  EXPECT_EQ(chain_.readable().ranges.size(), 2u);
  EXPECT_EQ(chain_.readable().length, 5u);
  EXPECT_EQ(chain_.writable().ranges.size(), 1u);
  EXPECT_EQ(chain_.writable().length, 7u);
  EXPECT_EQ(Pop(), Queue::Pop::kEmpty);
}

TEST_F(QueueTest, AnIndirectTableIsAChain) {
  driver_.Chain().Readable(ToBytes("ab")).Writable(7).Writable(1).Indirect().Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  EXPECT_EQ(chain_.readable().length, 2u);
  EXPECT_EQ(chain_.writable().length, 8u);
}

TEST_F(QueueTest, APushedChainComesBackWithWhatWasWritten) {
  const uint16_t head = driver_.Chain().Writable(4).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  guest_.memory().Scatter(chain_.writable(), ToBytes("data"));
  queue_.Push(chain_, 4);
  const auto used = driver_.Used();
  EXPECT_EQ(used.head, head);
  EXPECT_EQ(used.data, ToBytes("data"));
}

TEST_F(QueueTest, IndexesWrapAround) {
  for (int i = 0; i < 70'000; ++i) {
    driver_.SetDescriptor(3, {FakeMemory::kBase, 1, 0, 0});
    driver_.MakeAvailable(3);
    ASSERT_EQ(Pop(), Queue::Pop::kChain) << i;
    queue_.Push(chain_, 0);
    ASSERT_EQ(driver_.Used().head, 3) << i;
  }
}

TEST_F(QueueTest, ChainsMayComeBackInAnotherOrder) {
  const uint16_t first = driver_.Chain().Writable(1).Send();
  const uint16_t second = driver_.Chain().Writable(1).Send();
  Chain other;
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  ASSERT_EQ(queue_.PopChain(other), Queue::Pop::kChain);
  queue_.Push(other, 0);
  queue_.Push(chain_, 0);
  EXPECT_EQ(driver_.Used().head, second);
  EXPECT_EQ(driver_.Used().head, first);
}

TEST_F(QueueTest, EmptyPartsContributeNothing) {
  driver_.Chain().Readable({}).Readable(ToBytes("a")).Writable(0).Writable(1).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  EXPECT_EQ(chain_.readable().ranges.size(), 1u);
  EXPECT_EQ(chain_.writable().ranges.size(), 1u);
}

// --- malformed requests are given back -----------------------------------------------------------

TEST_F(QueueTest, AChainThatLoopsIsReturned) {
  driver_.SetDescriptor(1, {FakeMemory::kBase, 1, kFlagNext, 0});
  SendRaw({FakeMemory::kBase, 1, kFlagNext, 1});
  ExpectReturned(0);
  ExpectGoesOn();
}

TEST_F(QueueTest, AChainOfEmptyPartsThatLoopsIsReturned) {
  SendRaw({FakeMemory::kBase, 0, kFlagNext, 0});
  ExpectReturned(0);
}

TEST_F(QueueTest, ASuccessorBeyondTheTableIsReturned) {
  SendRaw({FakeMemory::kBase, 1, kFlagNext, kSize});
  ExpectReturned(0);
  ExpectGoesOn();
}

TEST_F(QueueTest, APartOutsideGuestMemoryIsReturned) {
  for (const GuestRange& range : std::vector<GuestRange>{
           {guest_.end() - 1, 2}, {0, 1}, {UINT64_MAX, 1}, {FakeMemory::kBase, UINT32_MAX}}) {
    SendRaw({range.address, range.length, kFlagWrite, 0});
    ExpectReturned(0);
  }
  ExpectGoesOn();
}

TEST_F(QueueTest, AReadablePartAfterAWritableOneIsReturned) {
  driver_.Chain().Writable(1).Readable(ToBytes("a")).Send();
  ExpectReturned(0);
}

TEST_F(QueueTest, AnIndirectTableWithinAnIndirectTableIsReturned) {
  const uint64_t inner = guest_.Allocate(16);
  driver_.SetTableEntry(inner, 0, {FakeMemory::kBase, 1, 0, 0});
  const uint64_t outer = guest_.Allocate(16);
  driver_.SetTableEntry(outer, 0, {inner, 16, kFlagIndirect, 0});
  SendRaw({outer, 16, kFlagIndirect, 0});
  ExpectReturned(0);
}

TEST_F(QueueTest, AnIndirectTableWithASuccessorIsReturned) {
  const uint64_t table = guest_.Allocate(16);
  driver_.SetTableEntry(table, 0, {FakeMemory::kBase, 1, 0, 0});
  SendRaw({table, 16, kFlagIndirect | kFlagNext, 1});
  ExpectReturned(0);
}

TEST_F(QueueTest, AnIndirectTableOfAnOddSizeIsReturned) {
  const uint64_t table = guest_.Allocate(64);
  for (const uint32_t length : {0u, 8u, 17u, 16u * (kSize + 1), UINT32_MAX}) {
    SendRaw({table, length, kFlagIndirect, 0});
    ExpectReturned(0);
  }
}

TEST_F(QueueTest, AnIndirectTableOutsideGuestMemoryIsReturned) {
  SendRaw({guest_.end() - 16, 32, kFlagIndirect, 0});
  driver_.SetTableEntry(guest_.end() - 16, 0, {FakeMemory::kBase, 1, kFlagNext, 1});
  ExpectReturned(0);
}

TEST_F(QueueTest, AnIndirectTableThatLoopsIsReturned) {
  const uint64_t table = guest_.Allocate(32);
  driver_.SetTableEntry(table, 0, {FakeMemory::kBase, 1, kFlagNext, 1});
  driver_.SetTableEntry(table, 1, {FakeMemory::kBase, 1, kFlagNext, 0});
  SendRaw({table, 32, kFlagIndirect, 0});
  ExpectReturned(0);
}

TEST_F(QueueTest, AChainLongerThanTheQueueIsReturned) {
  // A direct descriptor, then a table as long as the queue: one part too many.
  const uint64_t table = guest_.Allocate(16 * kSize);
  for (uint16_t i = 0; i < kSize; ++i) {
    const bool last = i + 1 == kSize;
    driver_.SetTableEntry(
        table, i,
        {FakeMemory::kBase, 1, last ? uint16_t{0} : kFlagNext, static_cast<uint16_t>(i + 1)});
  }
  driver_.SetDescriptor(1, {table, 16 * kSize, kFlagIndirect, 0});
  SendRaw({FakeMemory::kBase, 1, kFlagNext, 1});
  ExpectReturned(0);
  SendRaw({table, 16 * kSize, kFlagIndirect, 0});
  EXPECT_EQ(Pop(), Queue::Pop::kChain);
}

TEST_F(PlainQueueTest, AnIndirectTableThatWasNotNegotiatedIsReturned) {
  const uint64_t table = guest_.Allocate(16);
  driver_.SetTableEntry(table, 0, {FakeMemory::kBase, 1, 0, 0});
  SendRaw({table, 16, kFlagIndirect, 0});
  ExpectReturned(0);
}

TEST(LargeQueueTest, AChainOfMoreThanFourGibibytesIsReturned) {
  FakeMemory guest(64 << 20);
  FakeQueue driver(guest, 128);
  Queue queue(256);
  ASSERT_TRUE(queue.Start(guest.memory(), driver.layout(), kAllFeatures));
  auto builder = driver.Chain();
  for (int i = 0; i < 65; ++i) builder.Part(FakeMemory::kBase, 63 << 20, true);
  builder.Send();
  Chain chain;
  EXPECT_EQ(queue.PopChain(chain), Queue::Pop::kChain);  // 4095 MiB
  FakeQueue longer(guest, 128);
  Queue second(256);
  ASSERT_TRUE(second.Start(guest.memory(), longer.layout(), kAllFeatures));
  auto too_long = longer.Chain();
  for (int i = 0; i < 66; ++i) too_long.Part(FakeMemory::kBase, 63 << 20, true);
  too_long.Send();
  EXPECT_EQ(second.PopChain(chain), Queue::Pop::kReturned);
}

// --- malformed queues break ----------------------------------------------------------------------

TEST_F(QueueTest, AnAvailableIndexThatLeapsBreaksTheQueue) {
  driver_.SetAvailableIndex(kSize + 1);
  EXPECT_EQ(Pop(), Queue::Pop::kBroken);
  EXPECT_TRUE(queue_.broken());
  EXPECT_EQ(Pop(), Queue::Pop::kBroken);
}

TEST_F(QueueTest, AnAvailableIndexThatGoesBackBreaksTheQueue) {
  driver_.Chain().Writable(1).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  driver_.SetAvailableIndex(0);
  EXPECT_EQ(Pop(), Queue::Pop::kBroken);
}

TEST_F(QueueTest, AHeadBeyondTheTableBreaksTheQueue) {
  driver_.MakeAvailable(kSize);
  EXPECT_EQ(Pop(), Queue::Pop::kBroken);
}

TEST_F(QueueTest, TheSameHeadInFlightTwiceBreaksTheQueue) {
  SendRaw({FakeMemory::kBase, 1, 0, 0});
  driver_.MakeAvailable(0);
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  EXPECT_EQ(Pop(), Queue::Pop::kBroken);
}

TEST_F(QueueTest, ABrokenQueueGivesNothingBackAndInterruptsNobody) {
  driver_.Chain().Writable(1).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  driver_.MakeAvailable(kSize);
  Chain other;
  ASSERT_EQ(queue_.PopChain(other), Queue::Pop::kBroken);
  queue_.Push(chain_, 1);
  EXPECT_EQ(driver_.UsedCount(), 0u);
  EXPECT_FALSE(queue_.ShouldInterrupt());
  EXPECT_FALSE(queue_.EnableKicks());
}

TEST_F(QueueTest, AResetQueueWorksAgain) {
  driver_.MakeAvailable(kSize);
  ASSERT_EQ(Pop(), Queue::Pop::kBroken);
  queue_.Stop();
  EXPECT_EQ(Pop(), Queue::Pop::kEmpty);
  FakeQueue fresh(guest_, kSize);
  ASSERT_TRUE(queue_.Start(guest_.memory(), fresh.layout(), kAllFeatures));
  fresh.Chain().Writable(1).Send();
  EXPECT_EQ(Pop(), Queue::Pop::kChain);
}

// --- set-up --------------------------------------------------------------------------------------

TEST_F(QueueTest, AStartedQueueCannotBeMoved) {
  EXPECT_EQ(queue_.Start(guest_.memory(), driver_.layout(), 0).error().code(),
            base::ErrorCode::kBusy);
}

TEST_F(QueueTest, OnlyLayoutsWithinGuestMemoryAreAccepted) {
  const Queue::Layout good = driver_.layout();
  const auto refused = [&](auto&& change) {
    Queue::Layout layout = good;
    change(layout);
    Queue queue(256);
    return !queue.Start(guest_.memory(), layout, 0).has_value();
  };
  EXPECT_FALSE(refused([](Queue::Layout&) {}));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.size = 0; }));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.size = 12; }));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.size = 512; }));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.size = 1u << 31; }));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.descriptors += 8; }));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.available += 1; }));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.used += 2; }));
  EXPECT_TRUE(refused([&](Queue::Layout& l) { l.descriptors = guest_.end() - 16; }));
  EXPECT_TRUE(refused([&](Queue::Layout& l) { l.available = guest_.end() - 16; }));
  EXPECT_TRUE(refused([&](Queue::Layout& l) { l.used = guest_.end() - 16; }));
  EXPECT_TRUE(refused([](Queue::Layout& l) { l.used = UINT64_MAX - 3; }));
}

// --- notifications -------------------------------------------------------------------------------

TEST_F(QueueTest, TheDriverIsInterruptedWhenItsUsedEventIsPassed) {
  const auto push_one = [this] {
    driver_.Chain().Writable(1).Send();
    CHECK(Pop() == Queue::Pop::kChain);
    queue_.Push(chain_, 0);
  };
  driver_.SetUsedEvent(0);
  push_one();
  EXPECT_TRUE(queue_.ShouldInterrupt());
  driver_.SetUsedEvent(3);
  push_one();
  EXPECT_FALSE(queue_.ShouldInterrupt());  // 2 used
  push_one();
  push_one();
  EXPECT_TRUE(queue_.ShouldInterrupt());   // 4 used: event 3 passed
  EXPECT_FALSE(queue_.ShouldInterrupt());  // nothing new
}

TEST_F(QueueTest, AnInterruptIsNoticedWhenTheDriverMovesItsUsedEvent) {
  driver_.SetUsedEvent(0);
  driver_.Chain().Writable(1).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  queue_.Push(chain_, 0);
  ASSERT_TRUE(queue_.ShouldInterrupt());
  EXPECT_FALSE(queue_.InterruptNoticed());
  driver_.SetUsedEvent(1);
  EXPECT_TRUE(queue_.InterruptNoticed());
}

TEST_F(QueueTest, ARequestThatSlipsInWhileKicksAreEnabledIsSeen) {
  EXPECT_FALSE(queue_.EnableKicks());
  EXPECT_EQ(driver_.available_event(), 0);
  driver_.Chain().Writable(1).Send();
  EXPECT_TRUE(queue_.EnableKicks());
}

TEST_F(PlainQueueTest, WithoutEventIndexesFlagsAreUsed) {
  queue_.DisableKicks();
  EXPECT_EQ(driver_.used_flags(), 1);
  EXPECT_FALSE(queue_.EnableKicks());
  EXPECT_EQ(driver_.used_flags(), 0);
  driver_.Chain().Writable(1).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  queue_.Push(chain_, 0);
  driver_.SetAvailableFlags(1);
  EXPECT_FALSE(queue_.ShouldInterrupt());
  driver_.Chain().Writable(1).Send();
  ASSERT_EQ(Pop(), Queue::Pop::kChain);
  queue_.Push(chain_, 0);
  driver_.SetAvailableFlags(0);
  EXPECT_TRUE(queue_.ShouldInterrupt());
}

// --- drain ---------------------------------------------------------------------------------------

TEST_F(QueueTest, ADriverThatAddsForEverGetsOneQueueSizeATurn) {
  SendRaw({FakeMemory::kBase, 1, 0, 0});
  int handled = 0;
  const Drained drained = Drain(queue_, chain_, [&](Chain& chain) {
    ++handled;
    queue_.Push(chain, 0);
    driver_.MakeAvailable(0);  // the same again, at once
    return true;
  });
  EXPECT_EQ(drained, Drained::kMore);
  EXPECT_EQ(handled, kSize);
}

TEST_F(QueueTest, MalformedRequestsCountAgainstTheTurnToo) {
  for (uint16_t i = 0; i < kSize; ++i) {
    driver_.SetDescriptor(i, {0, 1, 0, 0});
    driver_.MakeAvailable(i);
  }
  int handled = 0;
  EXPECT_EQ(Drain(queue_, chain_, [&](Chain&) { return ++handled, true; }), Drained::kMore);
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(driver_.UsedCount(), kSize);
}

TEST_F(QueueTest, ADrainEndsIdleWithKicksEnabled) {
  driver_.Chain().Writable(1).Send();
  EXPECT_EQ(Drain(queue_, chain_, [&](Chain& chain) { return queue_.Push(chain, 0), true; }),
            Drained::kIdle);
  EXPECT_EQ(driver_.available_event(), 1);
}

}  // namespace
}  // namespace msb::virtio
