// What the agent knows of a request about files before it looks at any file. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "src/agent/protocol.h"

namespace msb::agent {

bool IsAboutFiles(const Request& request);
// It is answered with more than a Reply, or takes more than a Request: no other may follow it.
bool UsesUpConnection(const Request& request);

const base::Bytes& UserOf(const Request& request);  // of one about files: whose rights it asks for
// What it is about, be it files or a program.
std::vector<std::string> PathsOf(const Request& request);

}  // namespace msb::agent
