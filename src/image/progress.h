// Progress: what a long command tells the person who waits, on standard error.
//
// On a terminal one line that is rewritten, a few times a second, with the bytes and their rate;
// elsewhere a line for each finished step. One thread.
#pragma once

#include <cstdint>
#include <string>

namespace msb::image {

class Progress {
 public:
  enum class Style { kQuiet, kPlain, kTerminal };

  explicit Progress(Style style) : style_(style) {}
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;

  static Style Detect(bool quiet);  // by what standard error is

  // A step begins; `total` bytes, 0 if unknown.
  void Begin(const std::string& what, uint64_t total);
  void Update(uint64_t bytes);
  void End(const std::string& result);
  void Warn(const std::string& text);  // shown in every style but quiet
  void Clear();                        // the line, for others to write; it comes back

 private:
  void Draw();

  Style style_;
  std::string what_;
  uint64_t total_ = 0;
  uint64_t bytes_ = 0;
  int64_t begun_ns_ = 0;
  int64_t drawn_ns_ = 0;
  bool line_shown_ = false;
};

std::string FormatBytes(uint64_t bytes);  // "1.2 MiB"

}  // namespace msb::image
