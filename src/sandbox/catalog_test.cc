#include "src/sandbox/catalog.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "src/sandbox/names.h"
#include "src/sandbox/testing.h"

namespace msb::sandbox {
namespace {

using base::ErrorCode;

class CatalogTest : public HomeTest {
 protected:
  static std::optional<State> Listed(const std::string& id, bool ended_too) {
    const auto states = ListSandboxes(ended_too);
    EXPECT_TRUE(states);
    const auto found = std::ranges::find(*states, id, &State::id);
    return found == states->end() ? std::nullopt : std::optional(*found);
  }

  // A monitor that is killed: its directory stays as it was.
  void DieRunning(State state) const {
    const pid_t monitor = ::fork();
    if (monitor == 0) {
      auto run = RunDirectory::Create(state.id, state.name);
      state.monitor = DescribeProcess(::getpid());
      (void)run->WriteState(state);
      ::_exit(0);
    }
    ::waitpid(monitor, nullptr, 0);
  }
};

TEST_F(CatalogTest, ARunningSandboxIsFoundByNameAndByTheBeginningOfItsId) {
  const auto run = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(run);
  ASSERT_TRUE(run->WriteState(LivingState()));
  for (const std::string& name : {name_, id_, id_.substr(0, 12)}) {
    const auto found = FindSandbox(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->state.id, id_);
    EXPECT_EQ(found->state.phase, Phase::kRunning);
  }
  EXPECT_TRUE(Listed(id_, /*ended_too=*/false));
}

TEST_F(CatalogTest, WhatIsNotThereIsAnErrorThatSaysWhereToLook) {
  for (const char* name : {"no-such-sandbox", "..", "", "a/b", "*"}) {
    const auto found = FindSandbox(name);
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.error().code(), ErrorCode::kNotFound);
    EXPECT_NE(found.error().message().find("msb ps -a"), std::string::npos);
  }
}

TEST_F(CatalogTest, AnEndedOneIsListedOnRequestAndKeepsItsNameUntilItIsRemoved) {
  LeaveEnded(LivingState());
  EXPECT_FALSE(Listed(id_, /*ended_too=*/false));
  const auto listed = Listed(id_, /*ended_too=*/true);
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->ended->exit_code, 3);
  const auto taken = RunDirectory::Create(base::RandomHex(16), name_);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), ErrorCode::kExists);
  SweepRunDirectories();
  EXPECT_TRUE(Exists(id_));
  ASSERT_TRUE(RemoveSandbox(name_));
  EXPECT_FALSE(Exists(id_));
  EXPECT_FALSE(FindSandbox(name_));
  EXPECT_TRUE(RunDirectory::Create(base::RandomHex(16), name_));
}

TEST_F(CatalogTest, ARunningOneIsNotRemoved) {
  const auto run = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(run->WriteState(LivingState()));
  const auto removed = RemoveSandbox(name_);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), ErrorCode::kBusy);
  EXPECT_TRUE(Exists(id_));
}

TEST_F(CatalogTest, ADetachedOneWhoseMonitorWasKilledHasEndedAndSaysSo) {
  DieRunning(LivingState());
  EXPECT_FALSE(Listed(id_, /*ended_too=*/false));
  const auto listed = Listed(id_, /*ended_too=*/true);
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->phase, Phase::kEnded);
  EXPECT_EQ(listed->ended->exit_code, 125);
  EXPECT_NE(listed->ended->message.find("monitor was killed"), std::string::npos);
  EXPECT_TRUE(RemoveSandbox(name_));
}

TEST_F(CatalogTest, AnAttachedOneWhoseMonitorWasKilledIsGoneAndItsNameIsFree) {
  State state = LivingState();
  state.detached = false;
  DieRunning(state);
  EXPECT_FALSE(Listed(id_, /*ended_too=*/true));
  EXPECT_TRUE(RunDirectory::Create(base::RandomHex(16), name_));
  EXPECT_FALSE(Exists(id_));
}

TEST_F(CatalogTest, WhatIsOfAnotherBootIsGone) {
  State state = LivingState();
  state.boot_id = "00000000-0000-0000-0000-000000000000";
  LeaveEnded(state);
  EXPECT_FALSE(Listed(id_, /*ended_too=*/true));
  EXPECT_FALSE(FindSandbox(name_));
  SweepRunDirectories();
  EXPECT_FALSE(Exists(id_));
  EXPECT_FALSE(Exists(std::string(kNamesDirectory) + "/" + name_));
}

TEST_F(CatalogTest, AStateThatIsNoneIsSweptAndHarmsNobody) {
  {
    RunDirectory run = *RunDirectory::Create(id_, name_);
    ASSERT_TRUE(base::ReplaceFileAt(run.fd(), kStateFile, "{\"version\":", 0600, false));
    run.Keep();
  }
  EXPECT_FALSE(FindSandbox(name_));
  SweepRunDirectories();
  EXPECT_FALSE(Exists(id_));
}

TEST_F(CatalogTest, OfManyWhoWantANameOneGetsIt) {
  constexpr int kContenders = 16;
  base::Pair start = *base::MakePipe(), results = *base::MakePipe(), end = *base::MakePipe();
  std::vector<pid_t> contenders;
  for (int i = 0; i < kContenders; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      start.second.Reset();
      end.second.Reset();
      char byte;
      (void)!::read(start.first.get(), &byte, 1);  // all at once
      const auto run = RunDirectory::Create(base::RandomHex(16), name_);
      if (run) (void)run->WriteState(LivingState());
      (void)!::write(results.second.get(), run ? "y" : "n", 1);
      (void)!::read(end.first.get(), &byte, 1);  // it has the name until all have tried
      ::_exit(0);
    }
    contenders.push_back(child);
  }
  start.second.Reset();
  std::string answers(kContenders, ' ');
  ASSERT_TRUE(base::ReadFull(results.first.get(), std::as_writable_bytes(std::span(answers))));
  end.second.Reset();
  for (const pid_t child : contenders) ::waitpid(child, nullptr, 0);
  EXPECT_EQ(std::ranges::count(answers, 'y'), 1);
}

TEST_F(CatalogTest, AMadeUpNameIsAName) {
  const auto first = RunDirectory::Create(id_, RunDirectory::kMakeUp);
  const auto second = RunDirectory::Create(base::RandomHex(16), RunDirectory::kMakeUp);
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(IsSandboxName(first->name()));
  EXPECT_NE(first->name(), second->name());
}

TEST_F(CatalogTest, NamesInNamespacesCollideWithNoOther) {
  const std::string other_id = base::RandomHex(16);
  const std::string full = FullName("n-" + name_, name_);
  const auto plain = RunDirectory::Create(id_, name_);
  ASSERT_TRUE(plain);
  ASSERT_TRUE(plain->WriteState(LivingState()));
  const auto spaced = RunDirectory::Create(other_id, full);
  ASSERT_TRUE(spaced) << spaced.error().message();
  State state = LivingState();
  state.id = other_id;
  state.name = full;
  ASSERT_TRUE(spaced->WriteState(state));
  EXPECT_EQ(FindSandbox(full)->state.id, other_id);
  EXPECT_EQ(FindSandbox(name_)->state.id, id_);
  EXPECT_FALSE(FindSandbox("n-" + name_));
  EXPECT_FALSE(RunDirectory::Create(base::RandomHex(16), full)) << "it is taken";
}

TEST_F(CatalogTest, ANamespacesNameGoesWithItsSandbox) {
  const std::string full = FullName("space", name_);
  State state = LivingState();
  state.name = full;
  LeaveEnded(state);
  EXPECT_EQ(*RemoveSandbox(full), full);
  EXPECT_FALSE(FindSandbox(full));
  EXPECT_TRUE(RunDirectory::Create(id_, full)) << "the name is free again";
}

TEST(NamesTest, AFullNameIsOneWordOrTwo) {
  EXPECT_TRUE(IsFullName("a"));
  EXPECT_TRUE(IsFullName("default/a"));
  for (const char* name : {"", "/", "/a", "a/", "a/b/c", "../a", "a/..", "a//b", "a.b"}) {
    EXPECT_FALSE(IsFullName(name)) << name;
  }
  EXPECT_EQ(WithoutNamespace("default/a"), "a");
  EXPECT_EQ(WithoutNamespace("a"), "a");
}

TEST(NamesTest, AreOneTo63LettersDigitsDashesAndUnderscores) {
  EXPECT_TRUE(IsSandboxName("a"));
  EXPECT_TRUE(IsSandboxName("A-b_9"));
  EXPECT_TRUE(IsSandboxName(std::string(63, 'x')));
  for (const std::string& name : {std::string(), std::string(64, 'x'), std::string("-a"),
                                  std::string("_a"), std::string("a.b"), std::string("a/b"),
                                  std::string("a b"), std::string("\xc3\xa9"), std::string("..")}) {
    EXPECT_FALSE(IsSandboxName(name)) << name;
  }
}

}  // namespace
}  // namespace msb::sandbox
