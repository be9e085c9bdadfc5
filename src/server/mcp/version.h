// Version: the revisions of the Model Context Protocol that are spoken, oldest first: what has come
// with one is in all that follow, unless it says otherwise. A client that begins a session in
// another is offered the newest that has sessions.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace msb::server::mcp {

enum class Version {
  k2024_11_05,
  k2025_03_26,  // Streamable HTTP, batches (in this one only), annotations, audio
  k2025_06_18,  // structured results, titles, elicitation
  k2025_11_25,  // streams begin with an event to resume from
  k2026_07_28,  // no sessions: each request stands for itself (envelope.h)
};

inline constexpr std::array<std::string_view, 5> kVersionNames = {
    "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"};
inline constexpr Version kNewestWithSessions = Version::k2025_11_25;

constexpr std::string_view NameOf(Version version) {
  return kVersionNames[static_cast<size_t>(version)];
}

constexpr std::optional<Version> FindVersion(std::string_view name) {
  const auto found = std::ranges::find(kVersionNames, name);
  if (found == kVersionNames.end()) return std::nullopt;
  return static_cast<Version>(found - kVersionNames.begin());
}

}  // namespace msb::server::mcp
