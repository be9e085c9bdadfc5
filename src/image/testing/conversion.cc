#include "src/image/testing/conversion.h"

#include <fcntl.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "src/base/sys.h"
#include "src/image/merge.h"

namespace msb::image::testing {
namespace {

using base::UniqueFd;

base::Result<UniqueFd> FileOf(std::string_view content) {
  UniqueFd fd = TRY(base::CreateMemFd("test"));
  TRY(base::WriteFull(fd.get(), content));
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return base::FailErrno("lseek");
  return fd;
}

base::Result<std::string> ContentOf(int fd) {
  std::string content(static_cast<size_t>(TRY(base::Stat(fd)).st_size), '\0');
  TRY(base::PreadFull(fd, std::as_writable_bytes(std::span(content)), 0));
  return content;
}

class ThreadConversion : public LayerConversion {
 public:
  ThreadConversion(base::Pair pipe, int blob_fd, int index_fd) : pipe_(std::move(pipe.second)) {
    thread_ = std::thread([this, source = std::move(pipe.first), blob_fd, index_fd]() mutable {
      status_ = ConvertLayer(source.get(), blob_fd, index_fd);
      source.Reset();
    });
  }
  ~ThreadConversion() override {
    pipe_.Reset();
    if (thread_.joinable()) thread_.join();
  }
  base::Status Finish() override {
    pipe_.Reset();
    thread_.join();
    return std::move(status_);
  }
  int pipe() const override { return pipe_.get(); }

 private:
  UniqueFd pipe_;
  base::Status status_;
  std::thread thread_;
};

class ThreadConverter : public Converter {
 public:
  base::Result<std::unique_ptr<LayerConversion>> StartLayer(int blob_fd, int index_fd) override {
    return std::make_unique<ThreadConversion>(TRY(base::MakePipe()), blob_fd, index_fd);
  }
  base::Status Merge(std::span<const int> index_fds, const VolumeUuid& uuid,
                     int metadata_fd) override {
    return MergeLayers(index_fds, uuid, metadata_fd);
  }
};

}  // namespace

std::unique_ptr<Converter> MakeThreadConverter() { return std::make_unique<ThreadConverter>(); }

base::Result<ConvertedLayer> Convert(std::string_view layer, const LayerLimits& limits) {
  const UniqueFd source = TRY(FileOf(layer));
  const UniqueFd blob = TRY(base::CreateMemFd("blob"));
  const UniqueFd index = TRY(base::CreateMemFd("index"));
  TRY(ConvertLayer(source.get(), blob.get(), index.get(), limits));
  return ConvertedLayer{TRY(ContentOf(blob.get())), TRY(ContentOf(index.get()))};
}

base::Result<std::string> Merge(const std::vector<ConvertedLayer>& layers) {
  std::vector<UniqueFd> indexes;
  std::vector<int> fds;
  for (const ConvertedLayer& layer : layers) {
    indexes.push_back(TRY(FileOf(layer.index)));
    fds.push_back(indexes.back().get());
  }
  const UniqueFd metadata = TRY(base::CreateMemFd("metadata"));
  TRY(MergeLayers(fds, VolumeUuid{}, metadata.get()));
  std::string volume = TRY(ContentOf(metadata.get()));
  for (const ConvertedLayer& layer : layers) volume += layer.blob;
  return volume;
}

base::Result<std::map<std::string, VolumeFile>> Build(const std::vector<std::string>& tars) {
  std::vector<ConvertedLayer> layers;
  for (const std::string& tar : tars) layers.push_back(TRY(Convert(tar)));
  const std::string volume = TRY(Merge(layers));
  return ReadVolume(volume);
}

}  // namespace msb::image::testing
