// Output: what code or a program writes while a tool's call runs: kept for the result, within a
// bound, and told to the client as progress and log messages.
//
// Belongs to the tool's coroutine, as the sink of the service's call; one thread. Output is foreign
// and of any length: of what does not fit, the middle is left out, since a model needs how it began
// and how it ended.
#pragma once

#include <boost/asio/any_io_executor.hpp>

#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/server/mcp/features.h"
#include "src/server/service.h"

namespace msb::server::mcp {

// Lines of several streams, in the order in which they began.
class LineLog {
 public:
  static constexpr size_t kHeadBytes = 16 << 10;
  static constexpr size_t kTailBytes = 32 << 10;
  static constexpr size_t kMaxLineBytes = 8 << 10;

  // A piece, cut anywhere. Bytes that are not UTF-8 become U+FFFD.
  void Add(const std::string& stream, std::string_view text);
  // Ends the line that is open on it, if it has begun.
  void EndLine(const std::string& stream);

  std::vector<api::OutputLine> Lines() const;  // without what was left out
  std::string Text() const;                    // with a line that says how much that was
  // The last few lines, for progress.
  std::string Latest() const;
  bool truncated() const { return lines_left_out_ > 0 || bytes_left_out_ > 0; }

 private:
  using Lines_ = std::list<api::OutputLine>;
  Lines_::iterator OpenLine(const std::string& stream);
  void Trim();

  Lines_ head_;
  Lines_ tail_;
  size_t head_bytes_ = 0;
  size_t tail_bytes_ = 0;
  uint64_t lines_left_out_ = 0;
  uint64_t bytes_left_out_ = 0;  // of lines that were too long
  struct Open {
    bool in_head = false;
    Lines_::iterator line;
  };
  std::map<std::string, Open> open_;
};

// Text of which invalid bytes are replaced by U+FFFD.
std::string ToUtf8(std::string_view bytes);

class Output : public Sink {
 public:
  static constexpr size_t kMaxImages = 20;
  static constexpr size_t kMaxImageBytes = 5 << 20;     // all of them, in base64
  static constexpr size_t kMaxDisplayBytes = 32 << 10;  // all else of all displays
  static constexpr std::chrono::milliseconds kProgressInterval{200};
  static constexpr std::chrono::seconds kHeartbeat{10};

  Output(ToolContext& context, boost::asio::any_io_executor executor);
  ~Output() override;

  Async<base::Status> Put(StreamEvent event) override;

  const LineLog& log() const { return log_; }
  const Array& images() const { return images_; }  // as content
  // Without images and with what is too large named in `omitted`.
  std::vector<api::Display> TakeDisplays() { return std::move(displays_); }
  std::optional<api::Exception> TakeException() { return std::move(exception_); }

 private:
  struct Reporter;
  void Write(const std::string& stream, std::string_view text);
  void Take(api::OutputEvent event);
  void Take(api::Display display);
  void Take(api::Exception exception);
  void Take(api::DroppedEvent event);
  void Take(api::FileEvent) {}
  bool TakeImage(const std::string& type, const std::string& data);
  static Async<void> Report(std::shared_ptr<Reporter> reporter);

  ToolContext& context_;
  LineLog log_;
  Array images_;
  size_t image_bytes_ = 0;
  std::vector<api::Display> displays_;
  size_t display_bytes_ = 0;
  std::optional<api::Exception> exception_;
  std::shared_ptr<Reporter> reporter_;  // null: nobody wants progress
};

}  // namespace msb::server::mcp
