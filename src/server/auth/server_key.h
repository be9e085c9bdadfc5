// The server's key: what signs and checks the tokens: $MSB_HOME/server.key, one line, 0600.
//
// Whoever reads it can do all that the server can. Any thread; two that make it at the same time
// end with the same one. Errors: kNotFound, kDenied for a file that others can read or that is not
// the caller's, kInvalid for one that is no key.
#pragma once

#include <string>

#include "src/base/result.h"

namespace msb::server {

inline constexpr const char* kKeyFile = "server.key";
inline constexpr size_t kMinKeyBytes = 32;

base::Result<std::string> LoadKey(int home_fd);
base::Result<std::string> LoadOrCreateKey(int home_fd);
// From now on it is that; tokens of the former one are void.
base::Status StoreKey(int home_fd, const std::string& key);
std::string MakeKey();

// Without the line end that a file has; kInvalid unless it is long enough to be a secret.
base::Result<std::string> CheckKey(std::string text);

}  // namespace msb::server
