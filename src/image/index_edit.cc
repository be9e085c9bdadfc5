#include "src/image/index_edit.h"

#include "src/image/store.h"

namespace msb::image {
namespace {

using base::json::Array;
using base::json::Object;
using base::json::Value;

// The entries as raw JSON, with what is understood of them beside.
struct Document {
  Value root;
  std::vector<ImageEntry> entries;

  Array& manifests() { return root.as_object().at("manifests").as_array(); }
};

base::Result<Document> Parse(std::string_view text) {
  return Document{TRY(ParseDocument(text)), TRY(EntriesOf(text))};
}

// Keeps the entries for which `keep` holds.
template <typename Keep>
void Filter(Document& document, Keep keep) {
  Array kept;
  std::vector<ImageEntry> kept_entries;
  for (size_t i = 0; i < document.entries.size(); ++i) {
    if (!keep(document.entries[i])) continue;
    kept.push_back(document.manifests()[i]);
    kept_entries.push_back(document.entries[i]);
  }
  document.manifests() = std::move(kept);
  document.entries = std::move(kept_entries);
}

Value EntryOf(Descriptor manifest, const std::string& name) {
  StringMap annotations = manifest.annotations.value_or(StringMap());
  annotations.erase(kContainerdName);
  annotations.erase(kRefName);
  if (!name.empty()) annotations[kContainerdName] = annotations[kRefName] = name;
  manifest.annotations = annotations.empty() ? std::nullopt : std::optional(annotations);
  return base::json::Encode(manifest);
}

}  // namespace

base::Result<std::string> AddToIndex(std::string_view index, const Descriptor& manifest,
                                     const std::vector<std::string>& names,
                                     const std::set<std::string>& needed) {
  Document document = TRY(Parse(index));
  const auto is_moved = [&](const ImageEntry& entry) {
    return std::ranges::find(names, entry.name) != names.end() ||
           (entry.name.empty() && entry.manifest.digest == manifest.digest);
  };
  std::vector<Descriptor> displaced;
  Filter(document, [&](const ImageEntry& entry) {
    if (!is_moved(entry)) return true;
    displaced.push_back(entry.manifest);
    return false;
  });
  std::set<std::string> known;
  for (const ImageEntry& entry : document.entries) known.insert(entry.manifest.digest);
  for (const std::string& name : names) document.manifests().push_back(EntryOf(manifest, name));
  if (!names.empty()) known.insert(manifest.digest);
  if (known.insert(manifest.digest).second) document.manifests().push_back(EntryOf(manifest, ""));
  for (const Descriptor& other : displaced) {
    const bool stays = needed.contains(other.digest) && known.insert(other.digest).second;
    if (stays) document.manifests().push_back(EntryOf(other, ""));
  }
  return base::json::WritePretty(document.root) + "\n";
}

base::Result<std::string> RemoveFromIndex(std::string_view index, const std::string& name,
                                          const std::string& digest) {
  Document document = TRY(Parse(index));
  Filter(document, [&](const ImageEntry& entry) {
    return name.empty() ? entry.manifest.digest != digest : entry.name != name;
  });
  return base::json::WritePretty(document.root) + "\n";
}

std::string EmptyIndex() {
  const Object index = {{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", Array()}};
  return base::json::WritePretty(index) + "\n";
}

}  // namespace msb::image
