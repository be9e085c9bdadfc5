// RunReport: what comes of one run of code or one command: given to a sink as it comes, or
// gathered.
//
// Owned by the call; one thread. Bounded: what a result cannot hold is left out, and it says so.
#pragma once

#include <array>
#include <string>

#include "src/server/repl_wire.h"
#include "src/server/service.h"
#include "src/server/text.h"

namespace msb::server {

class RunReport {
 public:
  static constexpr size_t kMaxDisplayBytes = 16 * 1024 * 1024;  // of all values in one result
  static constexpr size_t kMaxDisplays = 1000;

  // `call` outlives it.
  explicit RunReport(const Call& call) : sink_(call.sink), caller_(call.caller) {}

  // An Error: the sink takes no more.
  Async<base::Status> Output(OutputStream stream, std::string data);
  Async<base::Status> Show(repl::Display display);
  Async<base::Status> Except(repl::Error error);
  // A line of ours, on stderr.
  Async<base::Status> Remark(std::string line);
  // Nothing follows; then the result can be taken.
  Async<base::Status> Finish();

  void FillIn(api::ReplResult& result);
  void FillIn(api::CommandResult& result);

 private:
  Async<base::Status> Send(StreamEvent event);

  void Keep(OutputStream stream, std::string_view text);
  void KeepParagraph(OutputStream stream, std::string_view text);
  bool MayKeep(std::string_view text);

  Sink* sink_;
  const Caller& caller_;
  OutputLines lines_;
  std::array<Utf8Pieces, 2> pieces_;
  std::vector<api::Display> displays_;
  size_t display_bytes_ = 0;
  bool displays_left_out_ = false;
  std::optional<api::Exception> exception_;
};

}  // namespace msb::server
