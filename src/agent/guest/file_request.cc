#include "src/agent/guest/file_request.h"

#include "src/base/result.h"

namespace msb::agent {
namespace {

// Calls `use` with the request's content, if it is about files.
template <typename Use>
bool Visit(const Request& request, Use use) {
  const auto visit = [&](const auto&... contents) {
    return ((contents.has_value() && (use(*contents), true)) || ...);
  };
  return visit(request.read_file, request.write_file, request.stat_file, request.list_directory,
               request.make_directory, request.remove, request.rename, request.change_mode,
               request.make_symlink, request.read_symlink, request.pack, request.unpack,
               request.watch_files);
}

}  // namespace

bool IsAboutFiles(const Request& request) {
  return Visit(request, [](const auto&) {});
}

bool UsesUpConnection(const Request& request) {
  return request.read_file || request.write_file || request.list_directory || request.pack ||
         request.unpack || request.watch_files;
}

const base::Bytes& UserOf(const Request& request) {
  const base::Bytes* user = nullptr;
  CHECK(Visit(request, [&](const auto& content) { user = &content.user; }));
  return *user;
}

std::vector<std::string> PathsOf(const Request& request) {
  std::vector<std::string> paths;
  if (request.exec) {
    if (!request.exec->argv.empty()) paths.push_back(request.exec->argv[0].data);
    paths.push_back(request.exec->cwd.data);
  }
  Visit(request, [&](const auto& content) {
    if constexpr (requires { content.path; }) {
      paths.push_back(content.path.data);
    } else {
      paths = {content.from.data, content.to.data};
    }
  });
  return paths;
}

}  // namespace msb::agent
