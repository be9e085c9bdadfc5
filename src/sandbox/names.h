// Names of sandboxes: a symbolic link .names/<name> -> <id> in the run directories' parent.
//
// Reserving one is making the link, so two sandboxes can never have the same. Callers hold the
// parent's lock (run_directory.h) where it says so. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "src/base/result.h"

namespace msb::sandbox {

inline constexpr const char* kNamesDirectory = ".names";

// 1 to 63 of [A-Za-z0-9_-], the first a letter or digit.
bool IsSandboxName(std::string_view name);
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
