// Names of sandboxes: a symbolic link .names/<name> -> <id> in the run directories' parent.
//
// A name is one word, or two, "NAMESPACE/NAME", for a sandbox of the server's. Its link has a dot
// instead of the slash, which no word has: the two never collide.
//
// Reserving one is making the link, so two sandboxes can never have the same. Callers hold the
// parent's lock (run_directory.h) where it says so. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::sandbox {

inline constexpr const char* kNamesDirectory = ".names";

// One word: 1 to 63 of [A-Za-z0-9_-], the first a letter or digit.
bool IsSandboxName(std::string_view name);
// One word, or two of them.
bool IsFullName(std::string_view name);
std::string FullName(std::string_view name_space, std::string_view name);
// The last word, which is the guest's host name.
std::string_view WithoutNamespace(std::string_view full_name);
// Two words ("calm-otter"); `salted`: with four random digits more.
std::string MakeUpName(bool salted);

// kExists if it is taken.
base::Status ReserveName(int parent_fd, const std::string& name, const std::string& id);
// Unless another sandbox has it.
void ReleaseName(int parent_fd, const std::string& name, const std::string& id);
// Those of sandboxes that have no directory any more; the caller holds `.lock`.
void ReleaseDeadNames(int parent_fd);
// The id. kNotFound if nobody has it.
base::Result<std::string> LookUpName(int parent_fd, const std::string& name);

}  // namespace msb::sandbox
