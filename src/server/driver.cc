#include "src/server/driver.h"

#include <string.h>

#include "src/base/log.h"

namespace msb::server {
namespace {

using agent::FailureCode;

std::string HowItEnded(const agent::Exited& exited) {
  if (exited.out_of_memory) return "was killed: the sandbox has no memory left";
  if (!exited.signaled) return fmt::format("exited with code {}", exited.value);
  const char* name = ::strsignal(static_cast<int>(exited.value & 0x7f));
  return fmt::format("was killed by signal {} ({})", exited.value, name);
}

}  // namespace

Driver::Driver(Guest& guest, std::string process_id)
    : process_id_(std::move(process_id)), changed_(guest.loop().executor()) {}

Driver::~Driver() = default;

base::Result<std::unique_ptr<Driver>> Driver::Start(Guest& guest, const agent::Exec& exec) {
  base::UniqueFd stream = TRY(guest.NewStream());
  std::unique_ptr<Driver> driver(new Driver(guest, exec.id));
  driver->attachment_ = TRY(agent::Attachment::Execute(guest.loop().events(), std::move(stream),
                                                       exec, driver->Callbacks()));
  return driver;
}

agent::Attachment::Callbacks Driver::Callbacks() {
  return {.on_started = {},
          .on_stdout =
              [this](std::string_view data) {
                Push(RawOutput{OutputStream::kStdout, std::string(data)}, data.size());
              },
          .on_stderr =
              [this](std::string_view data) {
                Push(RawOutput{OutputStream::kStderr, std::string(data)}, data.size());
              },
          .on_extra = [this](unsigned, std::string_view data) { OnExtra(data); },
          .on_end = {},
          .on_dropped = {},
          .on_writable = [this](unsigned) { Pump(); },
          .on_exit = [this](const agent::Exited& exited) { OnExit(exited); },
          .on_failed = [this](const agent::Failure& failure) { OnFailed(failure); }};
}

void Driver::OnExtra(std::string_view data) {
  const base::Status fed = reader_.Feed(data, [this](repl::FrameReader::Message message) {
    Push(std::move(message.content), message.bytes);
  });
  if (fed) return;
  Kill("it broke the protocol: " + fed.error().message());
}

void Driver::Kill(const std::string& why) {
  attachment_.reset();  // the process dies with it
  End({.how = "was killed: " + why});
}

void Driver::OnExit(const agent::Exited& exited) { End({.how = HowItEnded(exited)}); }

void Driver::OnFailed(const agent::Failure& failure) {
  const base::Error error = ErrorOf(failure);
  Ended ended{.how = error.message(), .missing = failure.code == FailureCode::kProgramMissing};
  if (!ended.missing) ended.failed = error;
  End(std::move(ended));
}

void Driver::Push(Item item, size_t bytes) {
  if (ended_ || ignoring_) return;
  const size_t cost = bytes + sizeof(Item);
  if (items_.Push(std::move(item), cost) && attachment_) attachment_->PauseOutput();
  changed_.Set();
}

void Driver::End(Ended ended) {
  if (std::exchange(ended_, true)) return;
  (void)items_.Push(std::move(ended), 0);
  changed_.Set();
}

void Driver::Send(const repl::ToDriver& message) {
  unsent_ += repl::EncodeFrame(message);
  Pump();
}

void Driver::Pump() {
  if (ended_ || unsent_.empty() || !attachment_) return;
  unsent_.erase(0, attachment_->Write(agent::kFirstExtra, unsent_));
}

Async<std::optional<Driver::Item>> Driver::Next(Clock::time_point deadline) {
  if (items_.empty()) {
    co_await changed_.Wait(deadline);
    changed_.Clear();
  }
  if (items_.empty()) co_return std::nullopt;
  Item item = items_.Pop();
  ResumeOutput();
  co_return std::move(item);
}

void Driver::Wake() { changed_.Set(); }

void Driver::Ignore() {
  ignoring_ = true;
  items_.DropIf([](const Item& item) { return !std::holds_alternative<Ended>(item); });
  ResumeOutput();
}

void Driver::ResumeOutput() {
  if (items_.HasRoomAgain() && attachment_) attachment_->ResumeOutput();
}

}  // namespace msb::server
