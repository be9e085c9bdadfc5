// The fuzzer's committed seeds reach every message: a new request without a seed fails here.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "src/base/sys.h"
#include "src/vmm/uml/wire.h"

namespace msb::vmm::uml {
namespace {

// The requests of one seed: records of a kind byte, a length byte and that many bytes
// (vhost_user_fuzz.cc).
void CollectRequests(const std::string& seed, std::set<uint32_t>& requests) {
  for (size_t at = 0; at + 2 <= seed.size();) {
    const int kind = static_cast<uint8_t>(seed[at]) % 8;
    if (kind == 6) {
      ++at;
      continue;
    }
    const size_t length = static_cast<uint8_t>(seed[at + 1]);
    const size_t start = at + 2 + (kind == 7 ? 2 : 0);
    if (kind != 7 && length >= sizeof(MessageHeader) && start + length <= seed.size()) {
      uint32_t request;
      std::memcpy(&request, seed.data() + start, sizeof request);
      requests.insert(request);
    }
    at = start + length;
  }
}

TEST(VhostUserCorpus, HasASeedForEachRequest) {
  const auto directory =
      base::OpenFile(MSB_SOURCE_DIR "/src/vmm/corpus/vhost_user_fuzz", O_RDONLY | O_DIRECTORY)
          .value();
  std::set<uint32_t> requests;
  for (const std::string& name : base::ListDirectory(directory.get()).value()) {
    CollectRequests(base::ReadFileAt(directory.get(), name, 1 << 20).value(), requests);
  }
  for (const Request request :
       {Request::kGetFeatures, Request::kSetFeatures, Request::kSetOwner, Request::kSetMemTable,
        Request::kSetVringNum, Request::kSetVringAddr, Request::kSetVringBase,
        Request::kSetVringKick, Request::kSetVringCall, Request::kGetProtocolFeatures,
        Request::kSetProtocolFeatures, Request::kSetVringEnable, Request::kGetConfig,
        Request::kSetConfig}) {
    EXPECT_THAT(requests, ::testing::Contains(static_cast<uint32_t>(request)));
  }
}

}  // namespace
}  // namespace msb::vmm::uml
