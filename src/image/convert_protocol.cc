#include "src/image/convert_protocol.h"

#include "src/base/bytes.h"
#include "src/base/json.h"

namespace msb::image {

std::string EncodeFailure(const base::Error& error) {
  const std::string message = base::EscapeForTerminal(error.message());
  return base::json::Write(
      ConvertFailure{static_cast<uint32_t>(error.code()), message.substr(0, kMaxReport / 4)});
}

base::Error DecodeFailure(const std::string& report) {
  const auto failure = base::json::Parse<ConvertFailure>(report);
  if (!failure || failure->code > static_cast<uint32_t>(base::ErrorCode::kSystem)) {
    return base::Fail(base::ErrorCode::kCorrupt, "the converter failed without saying why");
  }
  return base::Error(static_cast<base::ErrorCode>(failure->code),
                     base::EscapeForTerminal(failure->message));
}

}  // namespace msb::image
