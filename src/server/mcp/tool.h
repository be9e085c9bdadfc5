// What the tools' implementations share: a described struct in, a described struct out.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "src/server/mcp/features.h"
#include "src/server/mcp/output.h"
#include "src/server/params.h"
#include "src/server/schema.h"
#include "src/server/service.h"

namespace msb::server::mcp {

// A tool's names and texts.
struct ToolText {
  std::string name;
  std::string title;
  std::string description;
};

// What it does to the world (MCP, ToolAnnotations). No tool reaches beyond its sandboxes.
struct Effects {
  bool read_only = false;
  bool destructive = false;
  bool idempotent = false;
};

template <typename Params, typename Result>
Tool MakeTool(ToolText text, Effects effects,
              std::function<Async<ToolResult>(ToolContext&, Object)> call) {
  Object annotations{{"readOnlyHint", effects.read_only}, {"openWorldHint", false}};
  if (!effects.read_only) {
    annotations["destructiveHint"] = effects.destructive;
    annotations["idempotentHint"] = effects.idempotent;
  }
  return {
      .name = std::move(text.name),
      .title = std::move(text.title),
      .description = std::move(text.description),
      .input_schema = SchemaOf<Params>({.direction = Direction::kInput, .closed = true}),
      .output_schema = SchemaOf<Result>({.direction = Direction::kOutput}),
      .annotations = std::move(annotations),
      .call = std::move(call),
  };
}

template <typename Params>
base::Result<Params> ReadArguments(const ToolContext& context, Object arguments) {
  return ReadParams<Params>(std::move(arguments), "", base::json::Mode::kStrict,
                            context.caller().OwnNamespace());
}

template <typename Result>
ToolResult Success(std::string_view text, const Result& result) {
  return {.content = {TextContent(text)}, .structured = base::json::Encode(result).get_object()};
}

// What a failure of the service says, with what a model can do about it. `output`: what came before
// it, if there was any.
enum class Subject { kSandbox, kFile, kImage };
ToolResult Failed(const base::Error& error, Subject subject, std::string_view output = {});

inline Call CallOf(ToolContext& context, Sink* sink = nullptr) {
  return {.caller = context.caller(), .cancellation = context.cancellation(), .sink = sink};
}

}  // namespace msb::server::mcp
