// What a run's result holds, and what of it is counted.
#include "src/server/run_report.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace msb::server {
namespace {

Async<void> Write(RunReport& report, std::string text) {
  (void)co_await report.Output(OutputStream::kStdout, std::move(text));
}

TEST(RunReportTest, AResultHoldsNoMoreThanItsKeyMay) {
  http::MemoryBudget budget({.bytes = 1 << 20, .bytes_of_key = 1000});
  Caller caller = {.key_id = "key"};
  caller.hold = std::make_shared<http::MemoryBudget::Hold>(budget, caller.key_id);
  Cancellation cancellation;
  RunReport report({.caller = caller, .cancellation = cancellation});
  boost::asio::io_context context;
  for (const size_t size : {500, 500, 1}) {
    boost::asio::co_spawn(context, Write(report, std::string(size, 'x')), boost::asio::detached);
    context.restart();
    context.run();
  }
  api::CommandResult result;
  report.FillIn(result);
  ASSERT_EQ(result.output.size(), 1u);
  EXPECT_EQ(result.output[0].text, std::string(500, 'x'));
  EXPECT_TRUE(result.truncated);
  EXPECT_GE(budget.held(), 500u);
  caller.hold.reset();
  EXPECT_EQ(budget.held(), 0u);
}

}  // namespace
}  // namespace msb::server
