// A home of the test's own, with run directories in it: what the tests of this folder share.
//
// As root the run directories are /run/msb, which other sandboxes share: names and ids are random.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "src/base/sys.h"
#include "src/sandbox/names.h"
#include "src/sandbox/run_directory.h"

namespace msb::sandbox {

class HomeTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/msb-run-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    home_ = name;
    ::setenv("MSB_HOME", name, 1);
    id_ = base::RandomHex(16);
    name_ = "test-" + base::RandomHex(8);
  }
  void TearDown() override {
    if (const auto parent = RunDirectory::OpenParent()) {
      (void)base::RemoveTreeAt(parent->get(), id_);
      ReleaseName(parent->get(), name_, id_);
    }
    ASSERT_TRUE(base::RemoveTreeAt(AT_FDCWD, home_));
  }

  static bool Exists(const std::string& name) {
    return ::faccessat(RunDirectory::OpenParent()->get(), name.c_str(), F_OK, 0) == 0;
  }

  // Of a detached sandbox whose monitor is this process.
  State LivingState() const {
    State state;
    state.id = id_;
    state.name = name_;
    state.boot_id = *base::BootId();
    state.detached = true;
    state.phase = Phase::kRunning;
    state.created_ms = WallClockMs();
    state.monitor = DescribeProcess(::getpid());
    return state;
  }

  // One that has ended and is kept.
  void LeaveEnded(State state) const {
    RunDirectory run = *RunDirectory::Create(state.id, state.name);
    state.phase = Phase::kEnded;
    state.ended = Ended{EndReason::kProgramEnded, "its program ended with code 3", {}, 3, {}};
    ASSERT_TRUE(run.WriteState(state));
    run.Keep();
  }

  std::string home_, id_, name_;
};

}  // namespace msb::sandbox
