// `msb image ls` and `msb image inspect`.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/base/sys.h"
#include "src/image/commands.h"
#include "src/image/progress.h"
#include "src/image/store.h"

namespace msb::image {
namespace {

using base::json::Array;
using base::json::Object;

// What an image takes on the host's disk: sources and converted layers, metadata.
struct Usage {
  uint64_t total = 0;
  uint64_t unique = 0;  // what no other image needs; counted at the first of its names
};

struct Listed {
  ImageEntry entry;
  RunRecord record;
  bool runnable = false;
  bool again = false;  // another name of an image that stands above
  Usage usage;
};

// By name as people see it; what has none comes last.
void Sort(std::vector<Listed>& images) {
  std::ranges::sort(images, {}, [](const Listed& image) {
    return std::tuple(image.entry.name.empty(), DisplayName(image.entry),
                      image.entry.manifest.digest);
  });
}

void CountUsage(std::vector<Listed>& images) {
  std::map<std::string, std::set<std::string>> users;  // manifests, by layer
  for (const Listed& image : images) {
    for (const RunLayer& layer : image.record.layers) {
      users[layer.digest].insert(image.entry.manifest.digest);
    }
  }
  std::set<std::string> counted;
  for (Listed& image : images) {
    image.again = !counted.insert(image.entry.manifest.digest).second;
    image.usage.total = image.record.metadata_bytes;
    if (!image.again) image.usage.unique = image.record.metadata_bytes;
    std::set<std::string> layers;  // one may be there twice
    for (const RunLayer& layer : image.record.layers) {
      if (!layers.insert(layer.digest).second) continue;
      image.usage.total += layer.blob_bytes;
      if (!image.again && users[layer.digest].size() == 1) image.usage.unique += layer.blob_bytes;
    }
  }
}

base::Result<std::vector<Listed>> ListWithUsage(const Store& store) {
  std::vector<Listed> listed;
  if (!store.exists()) return listed;
  const base::UniqueFd lock = TRY(store.LockShared());
  for (ImageEntry& entry : TRY(store.List())) {
    Listed image;
    image.entry = std::move(entry);
    auto record = store.ReadRunRecord(image.entry);
    image.runnable = record.has_value();
    if (record) image.record = *std::move(record);
    listed.push_back(std::move(image));
  }
  Sort(listed);
  CountUsage(listed);
  return listed;
}

Object ToJson(const Listed& image) {
  return {{"name", image.entry.name},   {"digest", image.entry.manifest.digest},
          {"uuid", image.record.uuid},  {"layers", image.record.layers.size()},
          {"bytes", image.usage.total}, {"unique_bytes", image.usage.unique},
          {"runnable", image.runnable}};
}

std::string Table(const std::vector<Listed>& images) {
  size_t width = 4;
  for (const Listed& image : images) width = std::max(width, DisplayName(image.entry).size());
  std::string text =
      fmt::format("{:<{}}  {:<12}  {:>10}  {:>10}\n", "NAME", width, "DIGEST", "SIZE", "UNIQUE");
  for (const Listed& image : images) {
    std::string unique = image.again ? "same" : FormatBytes(image.usage.unique);
    text += fmt::format("{:<{}}  {:<12}  {:>10}  {:>10}\n", DisplayName(image.entry), width,
                        DigestHex(image.entry.manifest.digest).substr(0, 12),
                        image.runnable ? FormatBytes(image.usage.total) : "damaged",
                        image.runnable ? unique : "");
  }
  return text;
}

std::string Joined(const std::vector<std::string>& words) {
  return base::EscapeForTerminal(base::json::WriteValue(Array(words.begin(), words.end())));
}

std::string Describe(const ImageEntry& entry, const RunRecord& record) {
  const ImageConfig& config = record.config;
  std::string out = fmt::format("name        {}\ndigest      {}\nvolume      {}\n",
                                DisplayName(entry), entry.manifest.digest, record.uuid);
  const auto line = [&](const char* key, const std::string& value) {
    if (!value.empty()) out += fmt::format("{:<11} {}\n", key, value);
  };
  const auto list = [&](const char* key, const std::vector<std::string>& values) {
    if (!values.empty()) line(key, Joined(values));
  };
  list("entrypoint", config.entrypoint);
  list("cmd", config.cmd);
  line("workdir", base::EscapeForTerminal(config.workdir));
  line("user", base::EscapeForTerminal(config.user));
  line("stopsignal", base::EscapeForTerminal(config.stop_signal));
  for (const std::string& variable : config.env) line("env", base::EscapeForTerminal(variable));
  list("volumes", config.volumes);
  list("ports", config.exposed_ports);
  for (const auto& [key, value] : config.labels) {
    line("label", base::EscapeForTerminal(key + "=" + value));
  }
  for (const RunLayer& layer : record.layers) {
    line("layer", fmt::format("{}  {}", layer.digest, FormatBytes(layer.blob_bytes)));
  }
  return out;
}

}  // namespace

base::Status RunList(const CommonOptions& common) {
  const Store store = TRY(Store::Open(common.home));
  const std::vector<Listed> images = TRY(ListWithUsage(store));
  if (common.json) {
    Array list;
    for (const Listed& image : images) list.push_back(ToJson(image));
    return PrintJson(list);
  }
  if (!common.quiet) return Print(Table(images));
  std::string names;
  for (const Listed& image : images) names += DisplayName(image.entry) + "\n";
  return Print(names);
}

base::Status RunInspect(const CommonOptions& common, const std::string& reference) {
  const Store store = TRY(Store::Open(common.home));
  const ImageEntry entry = TRY(store.Find(reference));
  const base::UniqueFd lock = TRY(store.LockShared());
  const RunRecord record =
      TRY(store.ReadRunRecord(entry).WithContext("the image is damaged, see `msb image check`"));
  if (!common.json) return Print(Describe(entry, record));
  return PrintJson(Object{{"name", entry.name},
                          {"digest", entry.manifest.digest},
                          {"uuid", record.uuid},
                          {"config", base::json::Encode(record.config)},
                          {"layers", base::json::Encode(record.layers)}});
}

}  // namespace msb::image
