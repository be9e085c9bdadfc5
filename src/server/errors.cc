#include "src/server/errors.h"

#include "src/base/json.h"
#include "src/server/text.h"

namespace msb::server {

ApiError ApiErrorOf(const base::Error& error) {
  const std::string message = ToUtf8(error.message());
  switch (error.code()) {
    case base::ErrorCode::kInvalid:
    case base::ErrorCode::kUnsupported:
      return {400, 2001, message};
    case base::ErrorCode::kNotFound:
      return {404, 4001, message};
    case base::ErrorCode::kDenied:
      return {403, 3001, message};
    case base::ErrorCode::kLimit:
      return {429, 3002, message};
    case base::ErrorCode::kExists:
      return {409, 4002, message};
    case base::ErrorCode::kBusy:
      return {409, 4003, message};
    default:
      return {500, 5002, message};
  }
}

std::string BodyOf(const ApiError& error) {
  return base::json::Write(ErrorBody{error.message, error.code});
}

}  // namespace msb::server
