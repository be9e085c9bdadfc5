// Errors as HTTP clients see them: a status, a number and a sentence: {"error":MESSAGE,"code":N}.
//
//   400/2001 the input is wrong or not supported     404/4001 there is no such thing
//   401/1001 no key    401/1004 a key that is not valid, or no more
//   403/3001 the key does not allow it               429/3002 a limit of the key, or of ours
//   409/4002 the name is taken   409/4003 in use     500/5002 anything else
// Pure.
#pragma once

#include <boost/describe.hpp>

#include <string>

#include "src/base/result.h"

namespace msb::server {

struct ApiError {
  int status = 500;
  int code = 5002;
  std::string message;
};

ApiError ApiErrorOf(const base::Error& error);

// The body of an answer that is one.
struct ErrorBody {
  std::string error;
  int code = 0;
};
BOOST_DESCRIBE_STRUCT(ErrorBody, (), (error, code))
std::string BodyOf(const ApiError& error);

}  // namespace msb::server
