#include "src/server/mcp/output.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <utility>

namespace msb::server::mcp {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr size_t kLatestBytes = 500;
constexpr size_t kLatestLines = 3;

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

// The longest beginning of at most `most` bytes that ends with a character.
std::string_view CutAtCharacter(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && IsContinuation(text[most])) --most;
  return text.substr(0, most);
}

// How many bytes at the beginning are one character; 0 if they are none.
size_t CharacterLength(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(4, text.size()); ++length) {
    if (base::IsValidUtf8(text.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::string ToUtf8(std::string_view bytes) {
  if (base::IsValidUtf8(bytes)) return std::string(bytes);
  std::string out;
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    out += length == 0 ? kReplacement : bytes.substr(0, length);
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

// --- LineLog
LineLog::Lines_::iterator LineLog::OpenLine(const std::string& stream) {
  const auto open = open_.find(stream);
  if (open != open_.end()) return open->second.line;
  const bool in_head = tail_.empty() && head_bytes_ < kHeadBytes;
  Lines_& lines = in_head ? head_ : tail_;
  const auto line = lines.insert(lines.end(), {.stream = stream, .text = ""});
  open_[stream] = {.in_head = in_head, .line = line};
  (in_head ? head_bytes_ : tail_bytes_) += 1;
  return line;
}

void LineLog::Add(const std::string& stream, std::string_view text) {
  const std::string valid = ToUtf8(text);
  for (std::string_view rest = valid; !rest.empty();) {
    const size_t newline = rest.find('\n');
    const std::string_view piece = rest.substr(0, newline);
    const auto line = OpenLine(stream);
    const std::string_view kept =
        CutAtCharacter(piece, kMaxLineBytes - std::min(kMaxLineBytes, line->text.size()));
    line->text += kept;
    bytes_left_out_ += piece.size() - kept.size();
    (open_[stream].in_head ? head_bytes_ : tail_bytes_) += kept.size();
    if (newline == std::string_view::npos) break;
    open_.erase(stream);
    rest.remove_prefix(newline + 1);
    Trim();
  }
  Trim();
}

void LineLog::EndLine(const std::string& stream) { open_.erase(stream); }

void LineLog::Trim() {
  while (tail_bytes_ > kTailBytes && tail_.size() > 1) {
    const auto oldest = tail_.begin();
    std::erase_if(open_, [&](const auto& entry) {
      return !entry.second.in_head && entry.second.line == oldest;
    });
    tail_bytes_ -= oldest->text.size() + 1;
    tail_.erase(oldest);
    ++lines_left_out_;
  }
}

std::vector<api::OutputLine> LineLog::Lines() const {
  std::vector<api::OutputLine> lines(head_.begin(), head_.end());
  lines.insert(lines.end(), tail_.begin(), tail_.end());
  return lines;
}

std::string LineLog::Text() const {
  std::string text;
  for (const api::OutputLine& line : head_) text += line.text + "\n";
  if (truncated()) {
    text += fmt::format(
        "[… {} lines and {} bytes of long lines are left out here. To see all, write "
        "it to a file and read parts of that …]\n",
        lines_left_out_, bytes_left_out_);
  }
  for (const api::OutputLine& line : tail_) text += line.text + "\n";
  return text;
}

std::string LineLog::Latest() const {
  const std::list<api::OutputLine>& lines = tail_.empty() ? head_ : tail_;
  std::string latest;
  size_t count = 0;
  for (auto line = lines.rbegin(); line != lines.rend() && count < kLatestLines; ++line, ++count) {
    if (latest.size() + line->text.size() > kLatestBytes && count > 0) break;
    const std::string_view text = CutAtCharacter(line->text, kLatestBytes);
    latest = latest.empty() ? std::string(text) : std::string(text) + "\n" + latest;
  }
  return latest;
}

// --- progress
// Runs beside the call, at most until it ends.
struct Output::Reporter {
  Reporter(ToolContext& context, boost::asio::any_io_executor executor)
      : context(&context), news(executor), ended(executor) {}
  ToolContext* context;  // null once the call has ended
  const Clock::time_point begun = Clock::now();
  std::string latest;
  Event news;
  Event ended;
};

Async<void> Output::Report(std::shared_ptr<Reporter> reporter) {
  while (reporter->context != nullptr) {
    const bool news = co_await reporter->news.Wait(Clock::now() + kHeartbeat);
    if (reporter->context == nullptr) break;
    reporter->news.Clear();
    const std::chrono::duration<double> elapsed = Clock::now() - reporter->begun;
    reporter->context->Progress(
        elapsed.count(), std::nullopt,
        news ? reporter->latest : fmt::format("running for {:.0f} s", elapsed.count()));
    co_await reporter->ended.Wait(Clock::now() + kProgressInterval);
  }
}

Output::Output(ToolContext& context, boost::asio::any_io_executor executor) : context_(context) {
  if (!context.wants_progress()) return;
  reporter_ = std::make_shared<Reporter>(context, executor);
  boost::asio::co_spawn(executor, Report(reporter_), boost::asio::detached);
}

Output::~Output() {
  if (!reporter_) return;
  reporter_->context = nullptr;
  reporter_->ended.Set();
  reporter_->news.Set();
}

// --- what comes
Async<base::Status> Output::Put(StreamEvent event) {
  std::visit([this](auto&& one) { Take(std::move(one)); }, std::move(event));
  co_return base::Status();
}

void Output::Write(const std::string& stream, std::string_view text) {
  log_.Add(stream, text);
  if (context_.wants_log(Severity::kDebug)) {
    context_.Log(Severity::kDebug, stream, Value(std::string_view(ToUtf8(text))));
  }
  if (!reporter_) return;
  reporter_->latest = log_.Latest();
  reporter_->news.Set();
}

void Output::Take(api::OutputEvent event) {
  if (event.text) Write(event.stream, *event.text);
  if (!event.base64) return;
  if (const auto bytes = base::Base64Decode(*event.base64)) Write(event.stream, *bytes);
}

void Output::Take(api::DroppedEvent event) {
  Write(event.stream, fmt::format("[{} bytes were dropped]\n", event.bytes));
}

void Output::Take(api::Exception exception) {
  log_.EndLine("stderr");
  for (const std::string& line : exception.traceback) Write("stderr", line + "\n");
  exception_ = std::move(exception);
}

bool Output::TakeImage(const std::string& type, const std::string& data) {
  // SVG is text, which no client shows as an image content.
  if (!type.starts_with("image/") || type == "image/svg+xml") return false;
  if (images_.size() >= kMaxImages || data.size() > kMaxImageBytes - image_bytes_) return false;
  image_bytes_ += data.size();
  images_.push_back(ImageContent(data, type));
  return true;
}

void Output::Take(api::Display display) {
  if (const auto plain = display.data.find("text/plain"); plain != display.data.end()) {
    log_.EndLine("stdout");
    Write("stdout", plain->second + "\n");
  }
  for (auto item = display.data.begin(); item != display.data.end();) {
    const bool image = TakeImage(item->first, item->second);
    const bool fits = !image && item->second.size() <= kMaxDisplayBytes - display_bytes_;
    if (fits) {
      display_bytes_ += item->second.size();
      ++item;
    } else {
      if (!image) display.omitted[item->first] = item->second.size();
      item = display.data.erase(item);
    }
  }
  constexpr size_t kMost = 100;
  if (displays_.size() < kMost) displays_.push_back(std::move(display));
}

}  // namespace msb::server::mcp
