#include "src/server/run_report.h"

#include <algorithm>

#include "src/base/bytes.h"

namespace msb::server {
namespace {

bool IsText(std::string_view type) {
  return type.starts_with("text/") || type == "application/json" || type == "image/svg+xml" ||
         type == "application/javascript";
}

api::Display DisplayOf(const repl::Display& from) {
  api::Display display;
  display.result = from.result;
  for (const auto& [type, size] : from.omitted) display.omitted.emplace(ToUtf8(type), size);
  for (const auto& [type, value] : from.data) {
    display.data.emplace(ToUtf8(type),
                         IsText(type) ? ToUtf8(value.data) : base::Base64Encode(value.data));
  }
  return display;
}

}  // namespace

bool RunReport::MayKeep(std::string_view text) {
  const auto lines = static_cast<size_t>(std::ranges::count(text, '\n')) + 1;
  if (lines_.truncated()) return false;
  if (caller_.MayHold(text.size() + lines * sizeof(api::OutputLine))) return true;
  lines_.Truncate();
  return false;
}

void RunReport::Keep(OutputStream stream, std::string_view text) {
  if (MayKeep(text)) lines_.Append(stream, text);
}

void RunReport::KeepParagraph(OutputStream stream, std::string_view text) {
  if (MayKeep(text)) lines_.AppendParagraph(stream, text);
}

Async<base::Status> RunReport::Send(StreamEvent event) {
  if (sink_ == nullptr) co_return base::Status();
  co_return co_await sink_->Put(std::move(event));
}

Async<base::Status> RunReport::Output(OutputStream stream, std::string data) {
  if (sink_ == nullptr) {
    Keep(stream, data);
    co_return base::Status();
  }
  std::string piece = pieces_[static_cast<size_t>(stream)].Take(data);
  if (piece.empty()) co_return base::Status();
  co_return co_await Send(OutputEventOf(stream, std::move(piece)));
}

Async<base::Status> RunReport::Show(repl::Display from) {
  api::Display display = DisplayOf(from);
  if (sink_ != nullptr) co_return co_await Send(std::move(display));
  const auto plain = display.data.find("text/plain");
  if (plain != display.data.end()) KeepParagraph(OutputStream::kStdout, plain->second);
  if (displays_.size() >= kMaxDisplays) {
    displays_left_out_ = true;
    co_return base::Status();
  }
  for (auto value = display.data.begin(); value != display.data.end();) {
    const size_t size = value->second.size();
    const bool fits = display_bytes_ + size <= kMaxDisplayBytes && caller_.MayHold(size);
    if (fits) display_bytes_ += size;
    if (!fits) display.omitted.emplace(value->first, size);
    value = fits ? std::next(value) : display.data.erase(value);
  }
  displays_.push_back(std::move(display));
  co_return base::Status();
}

Async<base::Status> RunReport::Except(repl::Error error) {
  api::Exception exception;
  exception.name = ToUtf8(error.name.data);
  exception.value = ToUtf8(error.value.data);
  for (const base::Bytes& line : error.traceback) exception.traceback.push_back(ToUtf8(line.data));
  if (sink_ != nullptr) co_return co_await Send(std::move(exception));
  for (const std::string& line : exception.traceback) {
    KeepParagraph(OutputStreamOf(error.stream), line);
  }
  exception_ = std::move(exception);
  co_return base::Status();
}

Async<base::Status> RunReport::Remark(std::string line) {
  if (sink_ != nullptr) co_return co_await Output(OutputStream::kStderr, line + "\n");
  KeepParagraph(OutputStream::kStderr, line);
  co_return base::Status();
}

Async<base::Status> RunReport::Finish() {
  if (sink_ == nullptr) co_return base::Status();
  for (const OutputStream stream : {OutputStream::kStdout, OutputStream::kStderr}) {
    std::string rest = pieces_[static_cast<size_t>(stream)].Take("", /*last=*/true);
    if (!rest.empty()) CO_TRY(co_await Send(OutputEventOf(stream, std::move(rest))));
  }
  co_return base::Status();
}

void RunReport::FillIn(api::ReplResult& result) {
  result.truncated = lines_.truncated() || displays_left_out_;
  result.output = lines_.Take();
  result.displays = std::move(displays_);
  result.exception = std::move(exception_);
}

void RunReport::FillIn(api::CommandResult& result) {
  result.truncated = lines_.truncated();
  result.output = lines_.Take();
}

}  // namespace msb::server
