#include "src/sandbox/signal_name.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace msb::sandbox {
namespace {

TEST(SignalTest, IsANameOrANumber) {
  EXPECT_EQ(*ParseSignal("SIGTERM"), SIGTERM);
  EXPECT_EQ(*ParseSignal("QUIT"), SIGQUIT);
  EXPECT_EQ(*ParseSignal("9"), 9);
  EXPECT_EQ(*ParseSignal("SIGRTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(*ParseSignal("RTMIN"), SIGRTMIN);
  for (const char* text : {"", "SIG", "SIGNOSUCH", "0", "-1", "65", "9x", "RTMIN+99", "term"}) {
    EXPECT_FALSE(ParseSignal(text)) << text;
  }
}

}  // namespace
}  // namespace msb::sandbox
