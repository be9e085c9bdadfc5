// The steps a jailed process takes between clone3 and execveat, one file a kernel concept. They run
// in the child, single-threaded; each returns an Error that names what the kernel refused. Private
// to src/jail.
#pragma once

#include <span>

#include "src/base/result.h"
#include "src/jail/jail.h"

namespace msb::jail {

// namespaces.cc
base::Result<Child> CloneIntoNamespaces();  // returns twice; in the child, pid is 0
base::Status WriteIdMaps(pid_t child, uid_t host_uid, gid_t host_gid);
base::Status BecomeInsideId();

// root.cc: the current root becomes an empty tmpfs; the working directory is it.
base::Status EnterEmptyRoot(const Root& root);
base::Status SealRoot(const Root& root);

// descriptors.cc: exactly the granted descriptors survive the execution; `executable` may move.
base::Status ArrangeDescriptors(std::span<const FdGrant> grants, std::span<int* const> keep);

// privileges.cc
base::Status DropPrivileges();
base::Status DieWithParent(int parent_socket);

// rlimit.cc
base::Status SetLimits(std::span<const Limit> limits);

}  // namespace msb::jail
