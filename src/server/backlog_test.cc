#include "src/server/backlog.h"

#include <gtest/gtest.h>

#include <string>

namespace msb::server {
namespace {

TEST(BacklogTest, GivesWhatCameInItsOrder) {
  Backlog<std::string> backlog(10);
  EXPECT_TRUE(backlog.empty());
  EXPECT_FALSE(backlog.Push("a", 1));
  EXPECT_FALSE(backlog.Push("b", 1));
  EXPECT_EQ(backlog.Pop(), "a");
  EXPECT_EQ(backlog.Pop(), "b");
  EXPECT_TRUE(backlog.empty());
}

TEST(BacklogTest, SaysOnceThatItIsFullAndOnceThatHalfWasTaken) {
  Backlog<int> backlog(10);
  EXPECT_FALSE(backlog.Push(1, 6));
  EXPECT_FALSE(backlog.HasRoomAgain()) << "it was not full";
  EXPECT_TRUE(backlog.Push(2, 5));
  EXPECT_FALSE(backlog.Push(3, 5)) << "it was said";
  backlog.Pop();
  EXPECT_FALSE(backlog.HasRoomAgain()) << "more than half is left";
  backlog.Pop();
  EXPECT_TRUE(backlog.HasRoomAgain());
  EXPECT_FALSE(backlog.HasRoomAgain());
  EXPECT_TRUE(backlog.Push(4, 6)) << "full once more";
}

TEST(BacklogTest, WhatIsDroppedMakesRoom) {
  Backlog<int> backlog(10);
  EXPECT_TRUE(backlog.Push(1, 11));
  EXPECT_FALSE(backlog.Push(2, 1));
  backlog.DropIf([](int item) { return item == 1; });
  EXPECT_TRUE(backlog.HasRoomAgain());
  EXPECT_EQ(backlog.Pop(), 2);
}

}  // namespace
}  // namespace msb::server
