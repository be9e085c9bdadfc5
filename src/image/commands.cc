#include "src/image/commands.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "src/base/bytes.h"
#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/image/import.h"
#include "src/image/load.h"
#include "src/image/store_check.h"
#include "src/image/store_remove.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::json::Array;
using base::json::Object;

base::Status Print(const std::string& text) { return base::WriteFull(STDOUT_FILENO, text); }

base::Status PrintJson(const base::json::Value& value) {
  return Print(base::json::WritePretty(value) + "\n");
}

base::Result<std::unique_ptr<Converter>> OpenConverter() {
  return MakeJailedConverter(TRY(base::LibexecDirectory()) + "/msb-convert");
}

base::Result<std::vector<std::string>> NormalizeTags(const std::vector<std::string>& tags) {
  std::vector<std::string> names;
  for (const std::string& tag : tags) {
    const Reference reference = TRY(ParseReference(tag));
    if (!reference.digest.empty()) {
      return Fail(ErrorCode::kInvalid, "--tag {}: a name to give cannot have a digest", tag);
    }
    if (std::ranges::find(names, reference.TaggedName()) == names.end()) {
      names.push_back(reference.TaggedName());
    }
  }
  return names;
}

std::string ShortName(const std::string& name) {
  const auto reference = ParseReference(name);
  return reference ? reference->ShortName() : name;
}

base::Status PrintLoaded(const CommonOptions& common, const std::vector<LoadedImage>& images) {
  Array list;
  std::string text;
  for (const LoadedImage& image : images) {
    list.push_back(
        Object{{"names", Array(image.names.begin(), image.names.end())}, {"digest", image.digest}});
    for (const std::string& name : image.names) {
      text += fmt::format("loaded {} ({})\n", ShortName(name), image.digest);
    }
    if (image.names.empty()) text += fmt::format("loaded {}\n", image.digest);
  }
  return common.json ? PrintJson(list) : Print(text);
}

// Words as they are, or one JSON array of them.
base::Result<std::vector<std::string>> Words(const char* flag,
                                             const std::vector<std::string>& given) {
  if (given.size() != 1 || !given.front().starts_with('[')) return given;
  const auto words = base::json::Parse<std::vector<std::string>>(given.front());
  if (!words) {
    return Fail(ErrorCode::kInvalid, "{}: {}", flag, words.error().message());
  }
  return *words;
}

base::Result<ImageConfig> ConfigFromOptions(const ImportCommandOptions& options) {
  ImageConfig config;
  config.entrypoint = TRY(Words("--entrypoint", options.entrypoint));
  config.cmd = TRY(Words("--cmd", options.cmd));
  config.env = options.env;
  config.workdir = options.workdir;
  config.user = options.user;
  config.stop_signal = options.stop_signal;
  for (const std::string& variable : config.env) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Fail(ErrorCode::kInvalid, "--env {}: not NAME=VALUE",
                  base::EscapeForTerminal(variable));
    }
  }
  if (!config.workdir.empty() && !config.workdir.starts_with('/')) {
    return Fail(ErrorCode::kInvalid, "--workdir {}: not an absolute path",
                base::EscapeForTerminal(config.workdir));
  }
  for (const auto* strings : {&config.entrypoint, &config.cmd, &config.env}) {
    for (const std::string& text : *strings) {
      if (!base::IsValidUtf8(text)) {
        return Fail(ErrorCode::kInvalid, "'{}' is not UTF-8, which an image's configuration is",
                    base::EscapeForTerminal(text));
      }
    }
  }
  return config;
}

// What an image takes on the host's disk: sources and converted layers, metadata.
struct Usage {
  uint64_t total = 0;
  uint64_t unique = 0;  // what only this image needs
};

struct Listed {
  ImageEntry entry;
  RunRecord record;
  bool runnable = false;
  Usage usage;
};

base::Result<std::vector<Listed>> ListWithUsage(const Store& store) {
  std::vector<Listed> listed;
  if (!store.exists()) return listed;
  const base::UniqueFd lock = TRY(store.LockShared());
  std::map<std::string, std::vector<std::string>> users;  // manifests of a layer
  for (ImageEntry& entry : TRY(store.List())) {
    Listed image{std::move(entry), {}, false, {}};
    auto record = store.ReadRunRecord(image.entry);
    image.runnable = record.has_value();
    if (record) image.record = *std::move(record);
    for (const RunLayer& layer : image.record.layers) {
      auto& manifests = users[layer.digest];
      if (std::ranges::find(manifests, image.entry.manifest.digest) == manifests.end()) {
        manifests.push_back(image.entry.manifest.digest);
      }
    }
    listed.push_back(std::move(image));
  }
  for (Listed& image : listed) {
    image.usage.total = image.usage.unique = image.record.metadata_bytes;
    for (const RunLayer& layer : image.record.layers) {
      image.usage.total += layer.blob_bytes;
      if (users[layer.digest].size() == 1) image.usage.unique += layer.blob_bytes;
    }
  }
  std::ranges::sort(listed, {}, [](const Listed& image) { return image.entry.name; });
  return listed;
}

std::string NameForPeople(const ImageEntry& entry) {
  return entry.name.empty() ? entry.manifest.digest : ShortName(entry.name);
}

Object ToJson(const Listed& image) {
  return {{"name", image.entry.name},   {"digest", image.entry.manifest.digest},
          {"uuid", image.record.uuid},  {"layers", image.record.layers.size()},
          {"bytes", image.usage.total}, {"unique_bytes", image.usage.unique},
          {"runnable", image.runnable}};
}

std::string Joined(const std::vector<std::string>& words) {
  return base::EscapeForTerminal(base::json::WriteValue(Array(words.begin(), words.end())));
}

std::string Describe(const ImageEntry& entry, const RunRecord& record) {
  const ImageConfig& config = record.config;
  std::string out = fmt::format("name        {}\ndigest      {}\nvolume      {}\n",
                                NameForPeople(entry), entry.manifest.digest, record.uuid);
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

std::string Advice(const StoreProblem& problem) {
  if (problem.images.empty()) return "";
  std::string names;
  for (const std::string& name : problem.images) names += " " + ShortName(name);
  return fmt::format("; remove what needs it and load it again: msb image rm{}", names);
}

base::Status PrintReport(const CommonOptions& common, const StoreReport& report) {
  if (common.json) {
    Array problems;
    for (const StoreProblem& problem : report.problems) {
      problems.push_back(Object{{"file", problem.file},
                                {"problem", problem.what},
                                {"images", Array(problem.images.begin(), problem.images.end())}});
    }
    return PrintJson(Object{{"images", report.images},
                            {"layers", report.layers},
                            {"bytes", report.bytes},
                            {"problems", std::move(problems)}});
  }
  for (const StoreProblem& problem : report.problems) {
    TRY(Print(fmt::format("images/{} {}{}\n", problem.file, problem.what, Advice(problem))));
  }
  return Print(fmt::format(
      "{} images, {} layers, {} read: {}\n", report.images, report.layers,
      FormatBytes(report.bytes),
      report.problems.empty() ? "no problem" : fmt::format("{} problems", report.problems.size())));
}

// Removes what killed commands have left, if nobody else uses the store.
void CollectIfIdle(const Store& store) {
  const auto lock = store.LockShared();
  if (!lock || !base::TryLock(lock->get(), base::LockMode::kExclusive)) return;
  (void)CollectGarbage(store.images_fd());
}

}  // namespace

base::Status RunLoad(const CommonOptions& common, const LoadOptions& options) {
  const std::vector<std::string> tags = TRY(NormalizeTags(options.tags));
  const std::unique_ptr<Converter> converter = TRY(OpenConverter());
  Progress progress(Progress::Detect(common.quiet));
  StoreWriter writer = TRY(StoreWriter::Open(common.home, *converter));
  progress.Begin("reading " + options.path, 0);
  const auto layout = TRY(OpenLayout(options.path, common.home + "/images/" + kConvertedDirectory,
                                     *converter, [&](uint64_t bytes) { progress.Update(bytes); }));
  const auto images = TRY(LoadLayout(*layout, tags, writer, progress));
  return PrintLoaded(common, images);
}

base::Status RunImport(const CommonOptions& common, const ImportCommandOptions& options) {
  ImportOptions import;
  import.names = TRY(NormalizeTags(options.tags));
  import.config = TRY(ConfigFromOptions(options));
  const std::unique_ptr<Converter> converter = TRY(OpenConverter());
  Progress progress(Progress::Detect(common.quiet));
  StoreWriter writer = TRY(StoreWriter::Open(common.home, *converter));
  const LoadedImage image = TRY(ImportRootFs(options.path, import, writer, progress));
  return PrintLoaded(common, {image});
}

base::Status RunList(const CommonOptions& common) {
  const Store store = TRY(Store::Open(common.home));
  const std::vector<Listed> images = TRY(ListWithUsage(store));
  if (common.json) {
    Array list;
    for (const Listed& image : images) list.push_back(ToJson(image));
    return PrintJson(list);
  }
  size_t width = 4;
  for (const Listed& image : images) width = std::max(width, NameForPeople(image.entry).size());
  std::string text =
      fmt::format("{:<{}}  {:<12}  {:>10}  {:>10}\n", "NAME", width, "DIGEST", "SIZE", "UNIQUE");
  for (const Listed& image : images) {
    text += fmt::format("{:<{}}  {:<12}  {:>10}  {:>10}\n", NameForPeople(image.entry), width,
                        DigestHex(image.entry.manifest.digest).substr(0, 12),
                        image.runnable ? FormatBytes(image.usage.total) : "damaged",
                        image.runnable ? FormatBytes(image.usage.unique) : "");
  }
  return Print(text);
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

base::Status RunRemove(const CommonOptions& common, const std::vector<std::string>& references) {
  const Store store = TRY(Store::Open(common.home));
  TRY(RemoveImages(store, references));
  if (common.json) {
    return PrintJson(Object{{"removed", Array(references.begin(), references.end())}});
  }
  for (const std::string& reference : references) TRY(Print("removed " + reference + "\n"));
  return {};
}

base::Status RunCheck(const CommonOptions& common) {
  const Store store = TRY(Store::Open(common.home));
  Progress progress(common.json ? Progress::Style::kQuiet : Progress::Detect(common.quiet));
  progress.Begin("checking", 0);
  const StoreReport report =
      TRY(CheckStore(store, [&](uint64_t bytes) { progress.Update(bytes); }));
  if (store.exists() && report.problems.empty()) CollectIfIdle(store);
  TRY(PrintReport(common, report));
  if (report.problems.empty()) return {};
  return Fail(ErrorCode::kCorrupt, "the store is damaged");
}

}  // namespace msb::image
