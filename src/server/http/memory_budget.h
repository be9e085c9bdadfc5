// MemoryBudget: how many bytes the server holds of what clients sent and of answers that they have
// not taken yet: in all, and for each key, so that no client can take the memory of the others.
//
// A stream counts as what is on its way at most. Outlives its Holds; one thread.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "src/base/result.h"

namespace msb::server::http {

class MemoryBudget {
 public:
  struct Limits {
    size_t bytes = 0;
    size_t bytes_of_key = 0;
  };
  // An eighth of this host's memory, 128 MiB to 1 GiB; a key has a quarter of it, at least 64 MiB.
  static Limits DefaultLimits();

  explicit MemoryBudget(Limits limits = DefaultLimits()) : limits_(limits) {}
  MemoryBudget(const MemoryBudget&) = delete;

  // What one request or message has taken; given back at its end.
  class Hold {
   public:
    Hold() = default;  // none, that can take nothing
    Hold(MemoryBudget& budget, std::string key) : budget_(&budget), key_(std::move(key)) {}
    Hold(Hold&& other) noexcept;
    Hold& operator=(Hold&& other) noexcept;
    ~Hold() { Release(); }

    // So many more. kBusy, with what to do, if they are not to be had; nothing is taken then.
    base::Status Take(size_t bytes);
    void Release();

   private:
    MemoryBudget* budget_ = nullptr;
    std::string key_;
    size_t bytes_ = 0;
  };

  size_t held() const { return held_; }

 private:
  Limits limits_;
  size_t held_ = 0;
  std::map<std::string, size_t> of_key_;
};

}  // namespace msb::server::http
