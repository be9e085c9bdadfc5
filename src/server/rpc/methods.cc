#include "src/server/rpc/methods.h"

#include <algorithm>

#include "src/server/params.h"

namespace msb::server::rpc {
namespace {

using base::json::Value;

// What a method of Service takes and gives.
template <typename T>
struct Signature;
template <typename P, typename R>
struct Signature<Async<base::Result<R>> (Service::*)(Call, P)> {
  using Params = P;
  using Reply = R;
};

template <auto method>
Async<base::Result<Value>> Invoke(Service& service, Call call, Value params) {
  using Params = typename Signature<decltype(method)>::Params;
  auto decoded = ReadParams<Params>(std::move(params), "params", base::json::Mode::kLenient,
                                    call.caller.OwnNamespace());
  if (!decoded) co_return std::move(decoded).error();
  params = nullptr;  // a tree of values takes far more than what was sent
  auto reply = co_await (service.*method)(call, *std::move(decoded));
  if (!reply) co_return std::move(reply).error();
  co_return base::json::Encode(*reply);
}

template <auto method>
constexpr Method Make(std::string_view name, std::string_view summary, bool streams = false) {
  using Types = Signature<decltype(method)>;
  return {.name = name,
          .summary = summary,
          .streams = streams,
          .call = &Invoke<method>,
          .params_schema = &SchemaOf<typename Types::Params>,
          .result_schema = &SchemaOf<typename Types::Reply>};
}

constexpr bool kStreams = true;

constexpr Method kMethods[] = {
    Make<&Service::Start>("sandbox.start",
                          "Starts a sandbox, with what its disk held when it was stopped; the "
                          "result is a sentence, which warns if it gets less than it asks for"),
    Make<&Service::Stop>("sandbox.stop", "Stops a sandbox; its disk is kept"),
    Make<&Service::Remove>("sandbox.remove", "Stops a sandbox and forgets it, with its disk"),
    Make<&Service::List>("sandbox.list", "Lists sandboxes"),
    Make<&Service::SetTimeout>("sandbox.timeout", "Changes the limits of a running sandbox"),
    Make<&Service::Logs>("sandbox.logs",
                         "What the program wrote that was started with the sandbox"),
    Make<&Service::Metrics>("sandbox.metrics.get", "CPU, memory and disk of sandboxes"),
    Make<&Service::RunCode>("sandbox.repl.run",
                            "Runs code in a context, which keeps its variables from run to run",
                            kStreams),
    Make<&Service::RunCommand>("sandbox.command.run",
                               "Runs a program to its end; without a shell, and with no input",
                               kStreams),
    Make<&Service::CreateContext>("sandbox.context.create", "Makes a context, and starts it"),
    Make<&Service::ListContexts>("sandbox.context.list", "Lists the contexts of a sandbox"),
    Make<&Service::InterruptContext>("sandbox.context.interrupt",
                                     "Interrupts the code that a context runs, as Ctrl-C does"),
    Make<&Service::RestartContext>("sandbox.context.restart",
                                   "Starts a context anew; its variables are gone"),
    Make<&Service::RemoveContext>("sandbox.context.remove", "Ends a context"),
    Make<&Service::StartProcess>("sandbox.process.start",
                                 "Starts a program that goes on after the call"),
    Make<&Service::AttachProcess>("sandbox.process.attach",
                                  "Follows what a process writes, from any offset, to its end; "
                                  "only as a stream",
                                  kStreams),
    Make<&Service::WaitProcess>("sandbox.process.wait",
                                "Waits for a process's end; one that has ended is then forgotten"),
    Make<&Service::WriteProcess>("sandbox.process.write", "Gives a process input"),
    Make<&Service::SignalProcess>("sandbox.process.signal", "Sends a process a signal"),
    Make<&Service::ResizeProcess>("sandbox.process.resize", "Changes the size of its terminal"),
    Make<&Service::ListProcesses>("sandbox.process.list", "Lists processes"),
    Make<&Service::ReadFile>("sandbox.files.read", "Reads a file of at most 8 MiB"),
    Make<&Service::WriteFile>("sandbox.files.write", "Writes a file"),
    Make<&Service::StatFile>("sandbox.files.stat", "Describes a file; links are not followed"),
    Make<&Service::ListFiles>("sandbox.files.list", "Lists a directory"),
    Make<&Service::MakeDirectory>("sandbox.files.mkdir", "Makes a directory"),
    Make<&Service::MoveFile>("sandbox.files.move", "Renames a file or directory"),
    Make<&Service::RemoveFile>("sandbox.files.remove", "Removes a file or directory"),
    Make<&Service::WatchFiles>("sandbox.files.watch",
                               "Tells what happens to files in a directory; only as a stream",
                               kStreams),
};

}  // namespace

std::span<const Method> Methods() { return kMethods; }

const Method* FindMethod(std::string_view name) {
  const auto found = std::ranges::find(kMethods, name, &Method::name);
  return found == std::end(kMethods) ? nullptr : &*found;
}

}  // namespace msb::server::rpc
