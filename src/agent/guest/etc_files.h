// /etc/hosts, /etc/hostname and /etc/resolv.conf: written by us, bound over the image's.
//
// Bound rather than written, so that a writable disk that moves on does not carry this boot's. The
// image may lack the files, or /etc, or have links in their place (a link that leads to no file
// gives way to an empty one).
#pragma once

#include <array>
#include <string>

#include "src/agent/protocol.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

struct EtcFile {
  std::string path;      // in the image
  base::UniqueFd mount;  // detached
};
using EtcFiles = std::array<EtcFile, 3>;

std::string HostsText(const Configure& configure);
std::string ResolvText(const Configure& configure);
// Errors: kInvalid for a value that would begin another line or directive.
base::Status CheckEtcValues(const Configure& configure);

base::Result<EtcFiles> WriteEtcFiles(const Configure& configure);  // in the initramfs
base::Status BindEtcFiles(const EtcFiles& files);                  // in the image

}  // namespace msb::agent
