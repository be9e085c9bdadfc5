// Where things are: the user's home of microsandbox, and the helpers that belong to this
// executable.
//
// Reads the environment; nothing is cached. Any thread, as long as nobody changes the environment.
// spec/cli.md, "Defaults and layout".
#pragma once

#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::base {

// $MSB_HOME, else $MICROSANDBOX_HOME, else $HOME/.microsandbox; absolute. It need not exist.
// kInvalid if none of the three is set.
Result<std::string> ResolveHome();

enum class HomeMode { kMustExist, kCreate };

// The directory itself, once it is known to belong to the caller: kDenied for a home owned by
// somebody else or one that others may write to (whoever writes there chooses what is run here).
// kNotFound if it does not exist and is not to be created. Created with mode 0700.
Result<UniqueFd> OpenHome(const std::string& path, HomeMode mode);

// The directory of helpers, kernel and initramfs: that of the running executable if it is in a
// libexec/microsandbox itself, else <its directory>/../libexec/microsandbox. It need not exist.
Result<std::string> LibexecDirectory();

// Absolute, without links, "." and "..". It has to exist.
Result<std::string> RealPath(const std::string& path);

// The pure part of LibexecDirectory.
std::string LibexecDirectoryOf(const std::string& executable);

}  // namespace msb::base
