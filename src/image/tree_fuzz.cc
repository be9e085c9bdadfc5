// Any tar, extracted by either policy into a directory of its own: no crash, nothing beside the
// directory is touched, and what is made there are files, directories and links without special
// rights.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>
#include <string>
#include <utility>

#include "src/base/sys.h"
#include "src/image/tree_extract.h"

namespace {

using namespace msb;
using namespace msb::image;

class Bytes : public ByteSource {
 public:
  explicit Bytes(std::string_view data) : data_(data) {}
  base::Result<std::string_view> Next() override { return std::exchange(data_, {}); }
  uint64_t consumed() const override { return std::numeric_limits<uint64_t>::max(); }

 private:
  std::string_view data_;
};

void Check(int directory_fd, bool hostile) {
  for (const std::string& name : base::ListDirectory(directory_fd).value()) {
    struct stat status;
    CHECK(::fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0);
    CHECK(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISLNK(status.st_mode));
    CHECK(!hostile || S_ISLNK(status.st_mode) || (status.st_mode & 07000) == 0);
    if (!S_ISDIR(status.st_mode)) continue;
    ::fchmodat(directory_fd, name.c_str(), 0700, 0);
    const auto child =
        base::OpenFileAt(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).value();
    Check(child.get(), hostile);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const std::string top = [] {
    std::string name = "/dev/shm/tree_extract_fuzz_XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    CHECK(::mkdir((name + "/outside").c_str(), 0700) == 0);
    return name;
  }();
  const auto parent = base::OpenFile(top, O_RDONLY | O_DIRECTORY).value();
  CHECK(::mkdirat(parent.get(), "to", 0700) == 0);
  {
    const auto root = base::OpenFileAt(parent.get(), "to", O_RDONLY | O_DIRECTORY).value();
    CHECK(::symlinkat("../outside", root.get(), "out") == 0);
    Bytes source({reinterpret_cast<const char*>(data) + 1, size - 1});
    TarStream stream(source, std::numeric_limits<uint64_t>::max());
    const bool hostile = (data[0] & 1) == 0;
    TreeExtractor extractor(root.get(), {.hostile = hostile, .mode_mask = 0777});
    (void)extractor.Run(stream);
    Check(root.get(), hostile);
  }
  CHECK(base::ListDirectory(parent.get()).value().size() == 2);
  const auto outside = base::OpenFileAt(parent.get(), "outside", O_RDONLY | O_DIRECTORY).value();
  CHECK(base::ListDirectory(outside.get()).value().empty());
  CHECK(base::RemoveTreeAt(parent.get(), "to").has_value());
  return 0;
}
