// Files of a guest as the API shows them. Pure. Errors: kInvalid.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "src/agent/protocol.h"
#include "src/base/result.h"
#include "src/server/api/files.h"

namespace msb::server {

// Names are the guest's: what is not UTF-8 in them is replaced.
api::FileInfo FileInfoOf(const std::string& path, const agent::FileStatus& status,
                         const std::optional<std::string>& target);

// Permission bits in octal; `absent` if there is none.
base::Result<uint32_t> ParseMode(std::string_view member, const std::optional<std::string>& text,
                                 uint32_t absent);

}  // namespace msb::server
