#include "src/vmm/guest_fault.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

namespace msb::vmm {
namespace {

struct LastWords {
  int socket_fd = -1;
  size_t size = 0;
  std::array<char, 256> message = {};
};

LastWords last_words;
std::atomic<const virtio::GuestMemory*> guarded = nullptr;

void OnBusError(int, siginfo_t* info, void*) {
  const virtio::GuestMemory* memory = guarded.load(std::memory_order_relaxed);
  if (memory == nullptr || !memory->OwnsHostAddress(info->si_addr)) {
    ::signal(SIGBUS, SIG_DFL);  // the access repeats, and is a crash
    return;
  }
  ::send(last_words.socket_fd, last_words.message.data(), last_words.size,
         MSG_DONTWAIT | MSG_NOSIGNAL);
  ::_exit(kGuestFaultExitCode);
}

}  // namespace

base::Status HandleGuestFaults(int socket_fd, std::string_view message) {
  if (message.size() > last_words.message.size()) {
    return base::Fail(base::ErrorCode::kLimit, "last words of {} bytes", message.size());
  }
  last_words.socket_fd = socket_fd;
  last_words.size = message.size();
  std::memcpy(last_words.message.data(), message.data(), message.size());
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  if (::sigaction(SIGBUS, &action, nullptr) < 0) return base::FailErrno("cannot handle SIGBUS");
  return {};
}

void GuardGuestMemory(const virtio::GuestMemory* memory) { guarded = memory; }

}  // namespace msb::vmm
