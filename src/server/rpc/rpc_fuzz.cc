// Bodies of any bytes, as requests: each is refused in JSON, or reaches a method, whose parameters
// are decoded and checked as the server does; a configuration that is accepted has no host reach.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "src/base/bytes.h"
#include "src/server/config.h"
#include "src/server/mcp/testing/fakes.h"
#include "src/server/process_plan.h"
#include "src/server/rpc/message.h"

namespace msb::server::rpc {
namespace {

using base::json::Value;

void CheckAccepted(const api::Config& config) {
  CHECK(config.volumes.empty());
  CHECK(config.ports.empty());
  CHECK(config.depends_on.empty());
  CHECK(!config.env_file);
  CHECK(!config.image->empty() && !config.image->starts_with('/'));
  CHECK(MemoryBytes(config) > 0 && DiskBytes(config) > 0 && Cpus(config) > 0);
  CHECK(DifferenceOf(config, config).empty());
}

// Checks what it is given as the engine does, and has nothing.
class CheckingService : public mcp::testing::FakeService {
 public:
  Reply<std::string> Start(Call call, api::StartParams params) override {
    CO_TRY(CheckName("sandbox", params.sandbox));
    CO_TRY(const api::Config config, CompleteConfig(params.config, std::nullopt, params.sandbox));
    CheckAccepted(config);
    (void)IsImageAllowed(call.caller.images, *config.image);
    co_return "";
  }
  Reply<api::FileContent> ReadFile(Call, api::FileParams params) override {
    CO_TRY(CheckPath("path", params.path));
    CHECK(params.path.starts_with('/') && params.path.find('\0') == std::string::npos);
    co_return api::FileContent{};
  }
};

Async<void> Serve(Request request) {
  CheckingService service;
  const Caller caller = {.key_id = "fuzz", .images = {"microsandbox/*", "*a*"}};
  Cancellation cancellation;
  const auto result = co_await request.method->call(
      service, {.caller = caller, .cancellation = cancellation}, std::move(request.params));
  if (result) {
    CHECK(base::json::ParseValue(base::json::WriteValue(ResponseOf(request.id, *result))));
    co_return;
  }
  const ApiError error = ApiErrorOf(result.error());
  CHECK(error.status >= 400 && error.status < 600 && !error.message.empty());
  CHECK(base::json::ParseValue(BodyOf(error)).has_value());
}

void Feed(std::string_view body) {
  auto request = ParseRequest(body);
  if (!request) {
    CHECK(request.error().status == 400 || request.error().status == 404);
    CHECK(base::json::ParseValue(base::json::WriteValue(ResponseOf(request.error()))).has_value());
    return;
  }
  CHECK(request->method != nullptr && !request->id.is_structured());
  CHECK(SandboxOf(request->params, "default").size() < 128);  // a line of the log
  boost::asio::io_context context(1);
  bool ended = false;
  boost::asio::co_spawn(context, Serve(*std::move(request)),
                        [&](const std::exception_ptr& failed) { ended = !failed; });
  context.run();
  CHECK(ended);
}

}  // namespace
}  // namespace msb::server::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::server::rpc::Feed(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
