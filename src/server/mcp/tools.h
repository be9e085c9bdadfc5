// Tools: the service's methods as a language model sees them, and the prompts that go with them.
//
// The texts are for a model that has never heard of the product. Arguments are decoded strictly:
// a name that a tool does not have is an error that the model can correct. A failure is a result
// with isError, never an error of the protocol.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "src/server/mcp/features.h"
#include "src/server/service.h"

namespace msb::server::mcp {

// The sandboxes that a session has started itself, by namespace and name: for a transport that ends
// them with the session (stdio.h). One thread.
class StartedSandboxes {
 public:
  void Add(const std::string& space, const std::string& name) { all_.insert({space, name}); }
  void Remove(const std::string& space, const std::string& name) { all_.erase({space, name}); }
  std::set<std::pair<std::string, std::string>> Take() { return std::exchange(all_, {}); }

 private:
  std::set<std::pair<std::string, std::string>> all_;
};

// Stops them, one after the other, as the session ends: what fails is logged. Their files are kept.
Async<void> StopStarted(Service& service, StartedSandboxes& started, Caller caller);

struct ToolOptions {
  std::string version;                  // of the product
  StartedSandboxes* started = nullptr;  // told of those that run only since this session
};

// What the product offers. `service` and `options.started` outlive it.
std::shared_ptr<const Features> MakeFeatures(Service& service, ToolOptions options);

// Parts of it.
std::vector<Tool> SandboxTools(Service& service, StartedSandboxes* started);
std::vector<Tool> RunTools(Service& service);
std::vector<Tool> FileTools(Service& service);
std::vector<Prompt> SandboxPrompts();

}  // namespace msb::server::mcp
