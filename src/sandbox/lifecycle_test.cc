#include "src/sandbox/lifecycle.h"

#include <gtest/gtest.h>

#include <array>

namespace msb::sandbox {
namespace {

constexpr std::optional<Phase> kSame = std::nullopt;
constexpr std::array kPhases = {Phase::kStarting, Phase::kRunning, Phase::kPaused, Phase::kStopping,
                                Phase::kEnded};
constexpr std::array kHappenings = {Happening::kReady, Happening::kDiskFull, Happening::kDiskRoom,
                                    Happening::kStop, Happening::kGone};

TEST(LifecycleTest, IsThisTable) {
  using enum Phase;
  // clang-format off
  //                                                       starting  running    paused     stopping  ended
  const std::array<std::array<std::optional<Phase>, 5>, 5> table = {{
      /* ready     */ std::array<std::optional<Phase>, 5>{ kRunning, kSame,     kSame,     kSame,    kSame },
      /* disk full */ std::array<std::optional<Phase>, 5>{ kSame,    kPaused,   kSame,     kSame,    kSame },
      /* disk room */ std::array<std::optional<Phase>, 5>{ kSame,    kSame,     kRunning,  kSame,    kSame },
      /* stop      */ std::array<std::optional<Phase>, 5>{ kEnded,   kStopping, kStopping, kSame,    kSame },
      /* gone      */ std::array<std::optional<Phase>, 5>{ kEnded,   kEnded,    kEnded,    kEnded,   kSame },
  }};
  // clang-format on
  for (size_t row = 0; row < kHappenings.size(); ++row) {
    for (size_t column = 0; column < kPhases.size(); ++column) {
      EXPECT_EQ(Next(kPhases[column], kHappenings[row]), table[row][column])
          << "happening " << row << " in phase " << column;
    }
  }
}

TEST(LifecycleTest, EveryPhaseButTheLastCanEnd) {
  for (const Phase phase : kPhases) {
    if (phase == Phase::kEnded) continue;
    EXPECT_EQ(Next(phase, Happening::kGone), Phase::kEnded);
  }
}

}  // namespace
}  // namespace msb::sandbox
