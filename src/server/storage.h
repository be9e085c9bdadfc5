// Storage: what stays of the server's sandboxes while they do not run:
//
//   $MSB_HOME/namespaces/<namespace>/<sandbox>/     (or the directory of `server start --path`)
//     config.json   how it was started last, and by which key
//     disk …        its writable disk: src/sandbox/persistent_disk.h
//   namespaces/.removed/   what is being removed
//
// Names were checked before (IsSandboxName); nothing here follows a link. One server uses it; a
// directory without config.json is one whose first start was cut short: it counts as none.
// Immutable; any thread, but one at a time for each sandbox. Errors: kNotFound, kSystem, kNoSpace,
// kCorrupt.
#pragma once

#include <boost/describe.hpp>

#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/base/unique_fd.h"
#include "src/server/api/sandbox.h"

namespace msb::server {

struct SandboxKey {
  std::string namespace_;
  std::string name;
  auto operator<=>(const SandboxKey&) const = default;
  // What it is called among all sandboxes of the user: "default/test".
  std::string FullName() const { return namespace_ + "/" + name; }
};

struct StoredSandbox {
  int version = 1;
  api::Config config;  // complete: every default is filled in
  std::string key_id;  // whose limits it counts for
};
BOOST_DESCRIBE_STRUCT(StoredSandbox, (), (version, config, key_id))

class Storage {
 public:
  // For the server: created if it is missing (0700), and what was left of removals is cleared.
  static base::Result<Storage> Open(const std::string& directory);
  // For whoever only looks, beside a server or without one: changes nothing.
  static base::Result<Storage> OpenExisting(const std::string& directory);

  bool Has(const SandboxKey& key) const;           // readable or not
  bool HasDirectory(const SandboxKey& key) const;  // with a disk, maybe
  base::Result<StoredSandbox> Load(const SandboxKey& key) const;
  base::Status Save(const SandboxKey& key, const StoredSandbox& sandbox) const;
  std::string PathOf(const SandboxKey& key) const;
  std::string DiskPathOf(const SandboxKey& key) const;
  // Of the sandbox, for its disk; `create`: made if it is missing.
  base::Result<base::UniqueFd> OpenDirectory(const SandboxKey& key, bool create) const;
  // In order. Those that cannot be read are left out.
  base::Result<std::vector<SandboxKey>> List() const;
  base::Status Remove(const SandboxKey& key) const;

 private:
  Storage(std::string path, base::UniqueFd root) : path_(std::move(path)), root_(std::move(root)) {}

  std::string path_;
  base::UniqueFd root_;
};

}  // namespace msb::server
