#include "src/server/params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/server/api/files.h"
#include "src/server/api/process.h"
#include "src/server/api/run.h"
#include "src/server/api/sandbox.h"

namespace msb::server {
namespace {

using base::json::Mode;
using base::json::Object;
using base::json::Value;
using ::testing::HasSubstr;

// What has to be there, and nothing else.
template <typename T>
Object Least() {
  Object least;
  const Value whole = base::json::Encode(T{});
  for (const auto& member : whole.get_object()) {
    if (internal::IsRequired<T>(member.key())) least[member.key()] = member.value();
  }
  return least;
}

template <typename T>
std::vector<std::string> Members() {
  std::vector<std::string> names;
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
      [&](auto member) { names.emplace_back(base::json::MemberName(member.name)); });
  return names;
}

template <typename T>
class EveryParamsTest : public ::testing::Test {};

using EveryParams =
    ::testing::Types<api::StartParams, api::Config, api::StopParams, api::SandboxRef,
                     api::ListParams, api::TimeoutParams, api::LogsParams, api::MetricsParams,
                     api::ReplParams, api::CommandParams, api::ContextCreateParams,
                     api::ContextParams, api::ProcessStartParams, api::Pty,
                     api::ProcessAttachParams, api::ProcessWaitParams, api::ProcessWriteParams,
                     api::ProcessSignalParams, api::ProcessResizeParams, api::FileParams,
                     api::FileWriteParams, api::FileListParams, api::FileMkdirParams,
                     api::FileMoveParams, api::FileRemoveParams, api::FileWatchParams>;
TYPED_TEST_SUITE(EveryParamsTest, EveryParams);

TYPED_TEST(EveryParamsTest, AnOptionalMemberThatIsNullIsAsIfItWereAbsent) {
  const auto without = ReadParams<TypeParam>(Least<TypeParam>(), "params");
  ASSERT_TRUE(without) << without.error().message();
  for (const std::string& name : Members<TypeParam>()) {
    if (internal::IsRequired<TypeParam>(name)) continue;
    Object given = Least<TypeParam>();
    given[name] = nullptr;
    for (const Mode mode : {Mode::kLenient, Mode::kStrict}) {
      const auto read = ReadParams<TypeParam>(given, "params", mode);
      ASSERT_TRUE(read) << read.error().message();
      EXPECT_EQ(base::json::Encode(*read), base::json::Encode(*without)) << name;
    }
  }
}

TYPED_TEST(EveryParamsTest, ARequiredMemberThatIsNullIsRefusedAndNamed) {
  for (const std::string& name : Members<TypeParam>()) {
    if (!internal::IsRequired<TypeParam>(name)) continue;
    Object given = Least<TypeParam>();
    given[name] = nullptr;
    const auto read = ReadParams<TypeParam>(given, "params");
    ASSERT_FALSE(read) << name;
    EXPECT_THAT(read.error().message(), HasSubstr("params." + name));
  }
}

TEST(ParamsTest, NullsOfAMemberThatHasMembersOfItsOwnAreLeftOutToo) {
  const auto read = ReadParams<api::StartParams>(
      *base::json::ParseValue(
          R"({"sandbox":"a","config":{"image":"i","envs":null,"scripts":null}})"),
      "params");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->config->image, "i");
  EXPECT_TRUE(read->config->envs.empty());
}

TEST(ParamsTest, WhatIsWrongInsideIsStillNamed) {
  const auto element = ReadParams<api::StartParams>(
      *base::json::ParseValue(R"({"sandbox":"a","config":{"envs":[null]}})"), "params");
  ASSERT_FALSE(element);
  EXPECT_THAT(element.error().message(), HasSubstr("params.config.envs[0]"));
  const auto unknown = ReadParams<api::StopParams>(
      *base::json::ParseValue(R"({"sandbox":"a","unknown":null})"), "", Mode::kStrict);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message(), HasSubstr("unknown"));
}

TEST(Params, AnAbsentNamespaceIsTheCallersOwn) {
  const auto read = [](std::string_view text) {
    return ReadParams<api::SandboxRef>(*base::json::ParseValue(text), "", Mode::kStrict, "mine")
        ->namespace_;
  };
  EXPECT_EQ(read(R"({"sandbox":"t"})"), "mine");
  EXPECT_EQ(read(R"({"sandbox":"t","namespace":null})"), "mine");
  EXPECT_EQ(read(R"({"sandbox":"t","namespace":"other"})"), "other");
  EXPECT_EQ(read(R"({"sandbox":"t","namespace":""})"), "");
}

}  // namespace
}  // namespace msb::server
