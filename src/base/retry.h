// Retry: a system call again for as long as a signal interrupts it. For the files of sys.h.
#pragma once

#include <cerrno>

namespace msb::base {

template <typename Call>
auto Retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace msb::base
