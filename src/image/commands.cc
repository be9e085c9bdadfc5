#include "src/image/commands.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <functional>

#include "src/base/json.h"
#include "src/base/paths.h"
#include "src/base/sys.h"
#include "src/image/import.h"
#include "src/image/load.h"
#include "src/image/save.h"
#include "src/image/store_check.h"
#include "src/image/store_remove.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;
using base::json::Array;
using base::json::Object;

base::Result<std::unique_ptr<Converter>> OpenConverter() {
  return MakeJailedConverter(TRY(base::LibexecDirectory()) + "/msb-convert");
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

// A file that gets its name, and replaces what had it, when it is complete.
base::Status WriteNewFile(const std::string& path, const std::function<base::Status(int)>& write) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    // A pipe or a device is written to, not replaced.
    const base::UniqueFd file = TRY(base::OpenFile(path, O_WRONLY | O_NOCTTY));
    return write(file.get());
  }
  const base::UniqueFd parent = TRY(base::OpenFile(directory, O_RDONLY | O_DIRECTORY));
  const base::UniqueFd file = TRY(base::OpenUnnamed(directory, 0644));
  TRY(write(file.get()));
  const std::string partial = fmt::format(".{}.{}", name, base::RandomHex(4));
  TRY(base::LinkUnnamed(file.get(), parent.get(), partial));
  if (::renameat(parent.get(), partial.c_str(), parent.get(), name.c_str()) == 0) return {};
  const base::Error error = base::FailErrno("cannot write {}", path);
  (void)::unlinkat(parent.get(), partial.c_str(), 0);
  return error;
}

// Removes what killed commands have left, if nobody else uses the store.
void CollectIfIdle(const Store& store) {
  const auto lock = store.LockShared();
  if (!lock || !base::TryLock(lock->get(), base::LockMode::kExclusive)) return;
  (void)CollectGarbage(store.images_fd());
}

}  // namespace

base::Status Print(const std::string& text) { return base::WriteFull(STDOUT_FILENO, text); }

base::Status PrintJson(const base::json::Value& value) {
  return Print(base::json::WritePretty(value) + "\n");
}

base::Status RunLoad(const CommonOptions& common, const std::string& path,
                     const std::vector<std::string>& names) {
  const std::unique_ptr<Converter> converter = TRY(OpenConverter());
  Progress progress(Progress::Detect(common.quiet));
  StoreWriter writer = TRY(StoreWriter::Open(common.home, *converter));
  progress.Begin("reading " + path, 0);
  const auto layout = TRY(OpenLayout(path, common.home + "/images/" + kConvertedDirectory,
                                     *converter, [&](uint64_t bytes) { progress.Update(bytes); }));
  const auto images = TRY(LoadLayout(*layout, names, writer, progress));
  return PrintLoaded(common, images);
}

base::Status RunImport(const CommonOptions& common, const std::string& path,
                       const ImportOptions& options) {
  const std::unique_ptr<Converter> converter = TRY(OpenConverter());
  Progress progress(Progress::Detect(common.quiet));
  StoreWriter writer = TRY(StoreWriter::Open(common.home, *converter));
  const LoadedImage image = TRY(ImportRootFs(path, options, writer, progress));
  return PrintLoaded(common, {image});
}

base::Status RunSave(const CommonOptions& common, const std::vector<std::string>& references,
                     const std::string& path) {
  const Store store = TRY(Store::Open(common.home));
  if (!store.exists()) return MissingImage(references.front());
  const base::UniqueFd lock = TRY(store.LockShared());
  std::vector<ImageEntry> entries;
  for (const std::string& reference : references) entries.push_back(TRY(store.Find(reference)));
  Progress progress(Progress::Detect(common.quiet));
  const auto write_to = [&](int fd) {
    return SaveImages(
        store, entries, [fd](std::string_view data) { return base::WriteFull(fd, data); },
        progress);
  };
  if (path == "-") return write_to(STDOUT_FILENO);
  return WriteNewFile(path, write_to);
}

base::Status RunTag(const CommonOptions& common, const std::string& source,
                    const std::string& name) {
  const Store store = TRY(Store::Open(common.home));
  const Renamed renamed =
      TRY(TagImage(store, source, name, [&] { return FindDiskPins(common.home); }));
  const std::string& digest = renamed.image.manifest.digest;
  const std::string before = renamed.before ? renamed.before->manifest.digest : "";
  if (renamed.dropped) CollectIfIdle(store);
  if (common.json) {
    return PrintJson(Object{
        {"name", name}, {"digest", digest}, {"moved_from", before}, {"removed", renamed.dropped}});
  }
  std::string text = fmt::format("{} is now {}\n", ShortName(name), digest);
  if (!before.empty()) {
    const char* const now = renamed.dropped   ? "had no other name and is removed"
                            : renamed.unnamed ? "stays without a name, since disks of sandboxes "
                                                "need it"
                                              : "keeps its other names";
    text += fmt::format("it was {}, which {}\n", before, now);
  }
  return Print(text);
}

base::Status RunRemove(const CommonOptions& common, const std::vector<std::string>& references,
                       bool force) {
  const Store store = TRY(Store::Open(common.home));
  PinFinder find_pins;
  if (!force) find_pins = [&] { return FindDiskPins(common.home); };
  Array list;
  std::string text;
  for (const ImageEntry& entry : TRY(RemoveImages(store, references, find_pins))) {
    const std::string& digest = entry.manifest.digest;
    list.push_back(Object{{"name", entry.name}, {"digest", digest}});
    text += entry.name.empty() ? fmt::format("removed {}\n", digest)
                               : fmt::format("removed {} ({})\n", ShortName(entry.name), digest);
  }
  return common.json ? PrintJson(Object{{"removed", std::move(list)}}) : Print(text);
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
