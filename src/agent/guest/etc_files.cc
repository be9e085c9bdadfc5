#include "src/agent/guest/etc_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

#include "src/agent/guest/mount.h"
#include "src/base/sys.h"

namespace msb::agent {
namespace {

base::Status CheckValue(std::string_view name, const base::Bytes& value) {
  if (value.data.empty() ||
      value.data.find_first_of(std::string_view("\n\0", 2)) != std::string::npos) {
    return base::Fail(base::ErrorCode::kInvalid, "configure.{}: empty, or more than a line", name);
  }
  return {};
}

// A regular file to mount over, at the path or where its links lead. A link that leads nowhere, or
// to something else (/dev/null must not be mounted over), gives way to an empty file.
base::Status EnsureFile(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) return {};
  if (::lstat(path.c_str(), &status) < 0) {
    TRY(EnsureDirectory("/etc"));
  } else if (S_ISDIR(status.st_mode)) {
    return base::Fail(base::ErrorCode::kInvalid, "the image's {} is a directory", path);
  } else {
    ::unlink(path.c_str());
  }
  TRY(base::OpenFile(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  return {};
}

base::Result<EtcFile> WriteOne(const std::string& name, std::string_view text) {
  const std::string path = "/" + name;
  const base::UniqueFd fd = TRY(base::OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  TRY(base::WriteFull(fd.get(), text));
  return EtcFile{"/etc/" + name, TRY(CloneMount(AT_FDCWD, path))};
}

}  // namespace

std::string HostsText(const Configure& configure) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
  text += "127.0.1.1\t" + configure.hostname.data + "\n";
  for (const base::Bytes& line : configure.hosts) text += line.data + "\n";
  return text;
}

std::string ResolvText(const Configure& configure) {
  std::string text;
  for (const base::Bytes& address : configure.nameservers) {
    text += "nameserver " + address.data + "\n";
  }
  if (!configure.search.empty()) {
    text += "search";
    for (const base::Bytes& domain : configure.search) text += " " + domain.data;
    text += "\n";
  }
  return text;
}

base::Status CheckEtcValues(const Configure& configure) {
  TRY(CheckValue("hostname", configure.hostname));
  for (const base::Bytes& value : configure.hosts) TRY(CheckValue("hosts", value));
  for (const base::Bytes& value : configure.nameservers) TRY(CheckValue("nameservers", value));
  for (const base::Bytes& value : configure.search) TRY(CheckValue("search", value));
  return {};
}

base::Result<EtcFiles> WriteEtcFiles(const Configure& configure) {
  TRY(CheckEtcValues(configure));
  return EtcFiles{TRY(WriteOne("hosts", HostsText(configure))),
                  TRY(WriteOne("hostname", configure.hostname.data + "\n")),
                  TRY(WriteOne("resolv.conf", ResolvText(configure)))};
}

base::Status BindEtcFiles(const EtcFiles& files) {
  for (const EtcFile& file : files) {
    TRY(EnsureFile(file.path));
    TRY(PutMount(file.mount.get(), file.path));
  }
  return {};
}

}  // namespace msb::agent
