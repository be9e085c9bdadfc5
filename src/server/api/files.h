// The API's messages about files of a sandbox.
#pragma once

#include <boost/describe.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/server/api/doc.h"
#include "src/server/api/sandbox.h"

namespace msb::server::api {

inline constexpr Doc kPathDoc = {"path", "Absolute path in the sandbox"};
inline constexpr Doc kUserDoc = {"user", "Whose rights are used; default the sandbox's user"};

struct FileParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string path;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "path"});
  static constexpr auto kDocs = Docs({kSandboxDoc, kNamespaceDoc, kPathDoc, kUserDoc});
};
BOOST_DESCRIBE_STRUCT(FileParams, (), (sandbox, namespace_, path, user))

struct FileContent {
  std::string path;
  uint64_t size = 0;
  std::optional<std::string> text;
  std::optional<std::string> base64;
  static constexpr auto kDocs = Docs({
      {"path", "As it was given"},
      {"size", "Bytes"},
      {"text", "Its content, if that is UTF-8"},
      {"base64", "Else in base64"},
  });
};
BOOST_DESCRIBE_STRUCT(FileContent, (), (path, size, text, base64))

struct FileWriteParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string path;
  std::optional<std::string> text;
  std::optional<std::string> base64;
  std::optional<std::string> mode;
  bool parents = true;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "path"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kPathDoc,
      {"text", "Its new content"},
      {"base64", "Instead of text: any bytes"},
      {"mode", "Permission bits of a new file, in octal; default 644"},
      {"parents", "Make directories that are missing; default true"},
      kUserDoc,
  });
};
BOOST_DESCRIBE_STRUCT(FileWriteParams, (),
                      (sandbox, namespace_, path, text, base64, mode, parents, user))

struct FileInfo {
  std::string path;
  std::string name;
  std::string type;
  std::string mode;
  uint64_t size = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string modified;
  std::optional<std::string> target;
  static constexpr auto kDocs = Docs({
      {"path", "Absolute path"},
      {"name", "Its last component"},
      {"type", "file, directory, symlink, fifo, socket, character or block"},
      {"mode", "Permission bits, in octal"},
      {"size", "Bytes"},
      {"uid", "Owner"},
      {"gid", "Group"},
      {"modified", "When its content changed last (RFC 3339)"},
      {"target", "Of a symbolic link: where it leads"},
  });
};
BOOST_DESCRIBE_STRUCT(FileInfo, (), (path, name, type, mode, size, uid, gid, modified, target))

struct FileListParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string path;
  uint32_t depth = 1;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "path"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"path", "Absolute path of a directory in the sandbox"},
      {"depth", "1 (default): what is in it; 2: also what is in directories below; and so on"},
      kUserDoc,
  });
};
BOOST_DESCRIBE_STRUCT(FileListParams, (), (sandbox, namespace_, path, depth, user))

struct FileList {
  std::vector<FileInfo> entries;
  bool truncated = false;
  static constexpr auto kDocs = Docs({
      {"entries", "Each directory before what is in it"},
      {"truncated", "There were more than 100000, or their names had more than 8 MiB"},
  });
};
BOOST_DESCRIBE_STRUCT(FileList, (), (entries, truncated))

struct FileMkdirParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string path;
  bool parents = true;
  std::optional<std::string> mode;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "path"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kPathDoc,
      {"parents", "Make those above it, too, and accept one that is there; default true"},
      {"mode", "Permission bits, in octal; default 755"},
      kUserDoc,
  });
};
BOOST_DESCRIBE_STRUCT(FileMkdirParams, (), (sandbox, namespace_, path, parents, mode, user))

struct FileMoveParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string from;
  std::string to;
  bool replace = false;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "from", "to"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      {"from", "Absolute path in the sandbox"},
      {"to", "Its new absolute path"},
      {"replace", "What has that path already is replaced; default false"},
      kUserDoc,
  });
};
BOOST_DESCRIBE_STRUCT(FileMoveParams, (), (sandbox, namespace_, from, to, replace, user))

struct FileRemoveParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string path;
  bool recursive = false;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "path"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kPathDoc,
      {"recursive", "A directory with all that is in it; default false"},
      kUserDoc,
  });
};
BOOST_DESCRIBE_STRUCT(FileRemoveParams, (), (sandbox, namespace_, path, recursive, user))

struct FileWatchParams {
  std::string sandbox;
  std::string namespace_ = "default";
  std::string path;
  bool recursive = false;
  std::optional<std::string> user;
  static constexpr auto kRequired = std::to_array<std::string_view>({"sandbox", "path"});
  static constexpr auto kDocs = Docs({
      kSandboxDoc,
      kNamespaceDoc,
      kPathDoc,
      {"recursive", "Also what is in directories below; default false"},
      kUserDoc,
  });
};
BOOST_DESCRIBE_STRUCT(FileWatchParams, (), (sandbox, namespace_, path, recursive, user))

// In the stream of sandbox.files.watch.
struct FileEvent {
  std::string path;
  std::string event;
  static constexpr auto kDocs = Docs({
      {"path", "Absolute path"},
      {"event",
       "create, write, chmod, remove, rename (its old name is gone), overflow (some were lost)"},
  });
};
BOOST_DESCRIBE_STRUCT(FileEvent, (), (path, event))

struct Empty {
  static constexpr std::array<Doc, 0> kDocs = {};
};
BOOST_DESCRIBE_STRUCT(Empty, (), ())

}  // namespace msb::server::api
