#include "src/image/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include "src/base/sys.h"

namespace msb::image {
namespace {

constexpr int64_t kRedrawNanos = 100'000'000;
constexpr int64_t kMeasureNanos = 500'000'000;  // a rate over less than this says nothing

void Print(const std::string& text) { (void)base::WriteFull(STDERR_FILENO, text); }

}  // namespace

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr double kRoundsUp = 1023.95;  // "1024.0 KiB" is said as "1.0 MiB"
  const char* unit = "KMGT";
  double value = static_cast<double>(bytes) / 1024;
  for (; value >= kRoundsUp && unit[1] != '\0'; ++unit) value /= 1024;
  return fmt::format("{:.1f} {}iB", value, *unit);
}

Progress::Style Progress::Detect(bool quiet) {
  if (quiet) return Style::kQuiet;
  return ::isatty(STDERR_FILENO) == 1 ? Style::kTerminal : Style::kPlain;
}

void Progress::Begin(const std::string& what, uint64_t total) {
  what_ = what;
  total_ = total;
  bytes_ = 0;
  begun_ns_ = base::MonotonicNanos();
  drawn_ns_ = 0;
  Update(0);
}

void Progress::Update(uint64_t bytes) {
  bytes_ = bytes;
  if (style_ == Style::kTerminal && base::MonotonicNanos() - drawn_ns_ >= kRedrawNanos) Draw();
}

void Progress::End(const std::string& result) {
  Clear();
  if (style_ != Style::kQuiet) Print(fmt::format("{}: {}\n", what_, result));
}

void Progress::Warn(const std::string& text) {
  Clear();
  if (style_ != Style::kQuiet) Print(text + "\n");
}

void Progress::Draw() {
  const std::string of = total_ > 0 ? fmt::format(" / {}", FormatBytes(total_)) : "";
  const int64_t now = base::MonotonicNanos();
  std::string rate;
  if (now - begun_ns_ >= kMeasureNanos) {
    const double seconds = static_cast<double>(now - begun_ns_) / 1e9;
    rate = fmt::format(", {}/s",
                       FormatBytes(static_cast<uint64_t>(static_cast<double>(bytes_) / seconds)));
  }
  Print(fmt::format("\r\033[K{}: {}{}{}", what_, FormatBytes(bytes_), of, rate));
  drawn_ns_ = now;
  line_shown_ = true;
}

void Progress::Clear() {
  if (line_shown_) Print("\r\033[K");
  line_shown_ = false;
}

}  // namespace msb::image
