#include <unistd.h>

#include <cstdio>

#include "guest.h"

namespace guest {

// The host answers each line at once while this guest goes idle: an answer that arrives between the
// last look for work and the sleep must end the sleep.
void LostWakeup() {
  const int rounds = Setting("rounds", 3000);
  for (int i = 0; i < rounds; i++) Ask("@ping");
}

}  // namespace guest
