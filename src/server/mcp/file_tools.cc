// Tools that read, write and list files of a sandbox.
#include <utility>

#include "src/server/mcp/tool.h"
#include "src/server/mcp/tools.h"

namespace msb::server::mcp {
namespace {

constexpr size_t kMaxTextBytes = 100 << 10;  // what a model can make use of at once
constexpr size_t kMaxImageBytes = 5 << 20;   // in base64
constexpr size_t kMaxEntries = 1000;

// What clients show as images, by the first bytes of the file; empty: no image.
std::string_view ImageType(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return "image/png";
  if (bytes.starts_with("\xff\xd8\xff")) return "image/jpeg";
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a")) return "image/gif";
  if (bytes.starts_with("RIFF") && bytes.substr(8).starts_with("WEBP")) return "image/webp";
  return "";
}

// The first bytes of what is written in base64.
std::string FirstBytes(const std::string& base64) {
  return base::Base64Decode(std::string_view(base64).substr(0, 16)).value_or("");
}

ToolResult TooLarge(const api::FileContent& file) {
  return ToolFailure(fmt::format(
      "{} has {} bytes, more than can be shown at once ({}). Read a part of it with "
      "sandbox_run_command, such as command \"sed\" with args [\"-n\", \"1,200p\", \"{}\"]",
      file.path, file.size, kMaxTextBytes, file.path));
}

ToolResult BinaryFile(const api::FileContent& file, const std::string& base64) {
  ToolResult result{.structured = base::json::Encode(file).get_object()};
  result.content.push_back(
      TextContent(fmt::format("{} is not text: {} bytes", file.path, file.size)));
  result.content.push_back(
      Object{{"type", "resource"},
             {"resource", Object{{"uri", Value(std::string_view("file://" + file.path))},
                                 {"mimeType", "application/octet-stream"},
                                 {"blob", Value(std::string_view(base64))}}}});
  return result;
}

ToolResult ImageFile(api::FileContent file, std::string_view type) {
  const std::string base64 = *std::exchange(file.base64, std::nullopt);
  ToolResult result{.structured = base::json::Encode(file).get_object()};
  result.content.push_back(ImageContent(base64, type));
  return result;
}

Async<ToolResult> ReadFile(Service& service, ToolContext& context, Object arguments) {
  auto params = ReadArguments<api::FileParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kFile);
  auto file = co_await service.ReadFile(CallOf(context), *std::move(params));
  if (!file) co_return Failed(file.error(), Subject::kFile);
  if (file->text) {
    if (file->text->size() > kMaxTextBytes) co_return TooLarge(*file);
    co_return Success(file->text->empty() ? "[the file is empty]" : *file->text, *file);
  }
  const std::string base64 = file->base64.value_or("");
  const std::string_view type = ImageType(FirstBytes(base64));
  if (!type.empty() && base64.size() <= kMaxImageBytes) {
    co_return ImageFile(*std::move(file), type);
  }
  if (base64.size() > kMaxTextBytes) co_return TooLarge(*file);
  co_return BinaryFile(*file, base64);
}

Async<ToolResult> WriteFile(Service& service, ToolContext& context, Object arguments) {
  auto params = ReadArguments<api::FileWriteParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kFile);
  const auto file = co_await service.WriteFile(CallOf(context), *std::move(params));
  if (!file) co_return Failed(file.error(), Subject::kFile);
  co_return Success(fmt::format("{} has {} bytes now", file->path, file->size), *file);
}

Async<ToolResult> ListFiles(Service& service, ToolContext& context, Object arguments) {
  auto params = ReadArguments<api::FileListParams>(context, std::move(arguments));
  if (!params) co_return Failed(params.error(), Subject::kFile);
  auto list = co_await service.ListFiles(CallOf(context), *std::move(params));
  if (!list) co_return Failed(list.error(), Subject::kFile);
  if (list->entries.size() > kMaxEntries) {
    list->entries.resize(kMaxEntries);
    list->truncated = true;
  }
  std::string text;
  for (const api::FileInfo& entry : list->entries) {
    text += fmt::format("{} {} {:>10} {}{}\n", entry.mode, entry.type, entry.size, entry.path,
                        entry.target ? " -> " + *entry.target : "");
  }
  if (text.empty()) text = "[the directory is empty]\n";
  if (list->truncated) text += "[there are more; list a directory below]\n";
  co_return Success(text, *list);
}

}  // namespace

std::vector<Tool> FileTools(Service& service) {
  std::vector<Tool> tools;
  tools.push_back(MakeTool<api::FileParams, api::FileContent>(
      {"sandbox_read_file", "Read a file of a sandbox",
       "Gives the content of a file in a sandbox: text as text, images as images. Files over 100 "
       "KiB are refused: read a part of them with sandbox_run_command. The path is one in the "
       "sandbox, not on the user's computer."},
      {.read_only = true}, [&service](ToolContext& context, Object arguments) {
        return ReadFile(service, context, std::move(arguments));
      }));
  tools.push_back(MakeTool<api::FileWriteParams, api::FileInfo>(
      {"sandbox_write_file", "Write a file of a sandbox",
       "Writes a file in a sandbox: give its whole content as text, or as base64 if it is not "
       "text. What the file held before is lost; directories that are missing are made."},
      {.destructive = true, .idempotent = true},
      [&service](ToolContext& context, Object arguments) {
        return WriteFile(service, context, std::move(arguments));
      }));
  tools.push_back(MakeTool<api::FileListParams, api::FileList>(
      {"sandbox_list_files", "List a directory of a sandbox",
       "Lists what a directory in a sandbox holds, with permissions, type, size and path; depth 2 "
       "also lists what is in the directories below it, and so on. At most 1000 entries are "
       "shown."},
      {.read_only = true}, [&service](ToolContext& context, Object arguments) {
        return ListFiles(service, context, std::move(arguments));
      }));
  return tools;
}

}  // namespace msb::server::mcp
