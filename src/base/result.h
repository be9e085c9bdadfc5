// Errors as values: Error, Result<T>, TRY and CHECK.
//
// Every fallible function returns Result<T>. An Error names its kind (so that a caller can decide
// and the CLI can choose an exit code) and carries a sentence for the user: what happened, to which
// thing, and, where there is something to do, what. Exceptions do not cross a library's border: the
// one .cc that wraps a throwing library turns them into Errors. Out of memory and broken invariants
// abort.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace msb::base {

enum class ErrorCode {
  kInvalid,      // the caller's input is wrong
  kNotFound,     // the named thing does not exist
  kExists,       // the name is taken
  kDenied,       // not allowed: permissions, ownership, policy
  kCorrupt,      // stored or received bytes are not what they claim to be
  kUnsupported,  // well-formed, but not something this version or host can do
  kLimit,        // a bound of ours was exceeded
  kNoSpace,      // the host's disk or quota is full
  kBusy,         // held by somebody else
  kClosed,       // the other side went away
  kTimeout,      // a deadline passed
  kProtocol,     // the other side broke the protocol
  kSystem,       // a system call failed for another reason (see sys_errno)
};

class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message, int sys_errno = 0)
      : code_(code), sys_errno_(sys_errno), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  int sys_errno() const { return sys_errno_; }  // 0 unless a system call failed
  const std::string& message() const { return message_; }

  // "<context>: <message>", the code kept.
  Error WithContext(std::string_view context) && {
    message_ = fmt::format("{}: {}", context, message_);
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  int sys_errno_;
  std::string message_;
};

template <typename T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  Result(Error error) : std::expected<T, Error>(std::unexpected(std::move(error))) {}  // NOLINT

  Result WithContext(std::string_view context) && {
    if (!this->has_value()) return std::move(this->error()).WithContext(context);
    return std::move(*this);
  }
};

using Status = Result<void>;

template <typename... Args>
Error Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

ErrorCode CodeOfErrno(int sys_errno);
std::string ErrnoText(int sys_errno);  // thread-safe strerror

// An Error of the current errno: "<what>: <text of errno>".
template <typename... Args>
Error FailErrno(fmt::format_string<Args...> format, Args&&... args) {
  const int saved = errno;
  return Error(CodeOfErrno(saved),
               fmt::format(format, std::forward<Args>(args)...) + ": " + ErrnoText(saved), saved);
}

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace msb::base

// The value of a Result, or return its Error from the enclosing function.
#define TRY(expression)                                         \
  ({                                                            \
    auto&& try_result = (expression);                           \
    if (!try_result.has_value()) [[unlikely]]                   \
      return ::msb::base::Error(std::move(try_result).error()); \
    std::move(try_result).value();                              \
  })

// A broken invariant of ours (never a guest's or a user's doing) ends the process.
#define CHECK(condition) \
  ((condition) ? (void)0 : ::msb::base::CheckFailed(__FILE__, __LINE__, #condition))
