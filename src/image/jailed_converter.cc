#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "src/base/bytes.h"
#include "src/base/sys.h"
#include "src/image/convert_jail.h"
#include "src/image/convert_protocol.h"
#include "src/image/converter.h"
#include "src/image/layer_index.h"
#include "src/jail/jail.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::UniqueFd;

constexpr uid_t kUnprivileged = 65534;  // what root's conversions run as
constexpr int kPipeBytes = 1 << 20;

// A running msb-convert and the read end of its report. Killed when abandoned.
class Process {
 public:
  Process(jail::Child child, UniqueFd report)
      : child_(std::move(child)), report_(std::move(report)) {}
  Process(Process&&) = default;
  ~Process() {
    if (!child_.pid_fd) return;
    (void)base::PidFdSignal(child_.pid_fd.get(), SIGKILL);
    (void)base::WaitPidFd(child_.pid_fd.get());
  }

  base::Status Finish() {
    const std::string report = TRY(base::ReadToEnd(report_.get(), kMaxReport));
    const base::ExitStatus status = TRY(base::WaitPidFd(child_.pid_fd.get()));
    child_.pid_fd.Reset();
    if (!status.signaled && status.value == 0) return {};
    if (!report.empty()) return DecodeFailure(report);
    if (status.signaled && status.value == SIGKILL) {
      return Fail(ErrorCode::kLimit,
                  "the converter was killed: it ran for too long, or the host is out of memory");
    }
    return Fail(ErrorCode::kSystem, "the converter died ({} {})",
                status.signaled ? "signal" : "exit code", status.value);
  }

 private:
  jail::Child child_;
  UniqueFd report_;
};

class JailedConversion : public LayerConversion {
 public:
  JailedConversion(Process process, UniqueFd pipe)
      : process_(std::move(process)), pipe_(std::move(pipe)) {}

  base::Status Finish() override {
    pipe_.Reset();
    return process_.Finish();
  }
  int pipe() const override { return pipe_.get(); }

 private:
  Process process_;
  UniqueFd pipe_;
};

class JailedConverter : public Converter {
 public:
  explicit JailedConverter(UniqueFd executable) : executable_(std::move(executable)) {}

  base::Result<std::unique_ptr<LayerConversion>> StartLayer(int blob_fd, int index_fd) override {
    base::Pair pipe = TRY(base::MakePipe());
    (void)::fcntl(pipe.second.get(), F_SETPIPE_SZ, kPipeBytes);  // speed only; may be refused
    Process process = TRY(
        Start({"msb-convert", "layer", std::to_string(kMaxExpandedBytes)},
              {{pipe.first.get(), kLayerSource}, {blob_fd, kLayerBlob}, {index_fd, kLayerIndex}}));
    return std::make_unique<JailedConversion>(std::move(process), std::move(pipe.second));
  }

  base::Status Merge(std::span<const int> index_fds, const VolumeUuid& uuid,
                     int metadata_fd) override {
    std::vector<jail::FdGrant> grants = {{metadata_fd, kMergeMetadata}};
    for (size_t i = 0; i < index_fds.size(); ++i) {
      grants.push_back({index_fds[i], kMergeFirstIndex + static_cast<int>(i)});
    }
    Process process = TRY(Start(
        {"msb-convert", "merge", base::HexEncode(uuid), std::to_string(index_fds.size())}, grants));
    return process.Finish();
  }

 private:
  base::Result<Process> Start(std::vector<std::string> argv, std::vector<jail::FdGrant> grants) {
    base::Pair report = TRY(base::MakePipe());
    grants.push_back({report.second.get(), kReportFd});
    jail::JailSpec spec;
    spec.name = "msb-convert";
    spec.executable_fd = executable_.get();
    spec.argv = std::move(argv);
    spec.fds = std::move(grants);
    const bool root = ::geteuid() == 0;
    spec.host_uid = root ? kUnprivileged : ::geteuid();
    spec.host_gid = root ? kUnprivileged : ::getegid();
    spec.limits = ConvertLimits();
    jail::Child child = TRY(jail::Spawn(spec));
    return Process(std::move(child), std::move(report.first));
  }

  UniqueFd executable_;
};

}  // namespace

base::Result<std::unique_ptr<Converter>> MakeJailedConverter(const std::string& executable) {
  return std::make_unique<JailedConverter>(TRY(base::OpenFile(executable, O_RDONLY)));
}

}  // namespace msb::image
