// `msb image check`: is everything in the store what it claims to be?
//
// Every digest of a source, every converted form, every reference. Reads all of it, under the
// shared lock; changes nothing. One thread. Errors: only what keeps it from checking.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "src/base/result.h"
#include "src/image/store.h"

namespace msb::image {

struct StoreProblem {
  std::string file;                 // below images/
  std::string what;                 // is wrong with it
  std::vector<std::string> images;  // that need it, as they are named
};

struct StoreReport {
  size_t images = 0;
  size_t layers = 0;
  uint64_t bytes = 0;  // read
  std::vector<StoreProblem> problems;
};

base::Result<StoreReport> CheckStore(const Store& store,
                                     const std::function<void(uint64_t)>& on_bytes);

}  // namespace msb::image
