// Process: one program that the host started, as an object: its streams, its exit status.
//
// Owned by the Server's table. Output is read into a ring a stream and is sent from there by the
// Attached of each connection; input is written as the program reads it, against credit granted to
// the one connection that holds the input. Exits are brought by the Server, which reaps. One
// thread; the event loop must outlive it.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/agent/guest/exec_plan.h"
#include "src/agent/guest/failure.h"
#include "src/agent/guest/output_ring.h"
#include "src/agent/guest/spawn.h"
#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class Attached;

class Process {
 public:
  // Checks user, working directory and program, so that what is created can be started.
  // `lookup`: see PlanExec.
  static Outcome<std::unique_ptr<Process>> Create(base::EventLoop& loop, const Exec& exec,
                                                  const Surroundings& surroundings,
                                                  const ExecLookup* lookup);
  ~Process();
  Process(const Process&) = delete;

  using Done = std::function<void(const Outcome<void>&)>;
  // Legal once. Without an error here, `done` is called once it is known whether the program runs,
  // or once `patience` is over and the process is killed; but not after our destruction.
  Outcome<void> Start(std::optional<std::chrono::milliseconds> patience, Done done);
  void ProcessEnded();              // before Exit: calls `done` if that was not known yet
  void Exit(const Exited& exited);  // it was reaped
  Outcome<void> Signal(int signal, bool group);
  Outcome<void> Resize(WindowSize size);
  // SIGKILL to its process group, its output thrown away.
  void Abandon();

  const std::string& id() const { return exec_.id; }
  const Exec& exec() const { return exec_; }
  pid_t pid() const { return pid_; }  // 0 before the start and after the exit
  bool start_asked() const { return start_asked_; }
  bool stuck() const { return abandoned_ && spawn_; }  // given up, and yet to be let go of
  bool running() const { return pid_ != 0; }
  const std::optional<Exited>& exited() const { return exited_; }
  // Exited, and all it wrote is in the rings.
  bool finished() const { return exited_.has_value() && open_outputs_ == 0; }

  // --- output, for Attached
  OutputRing* Ring(unsigned stream);  // null: no such output
  bool Ended(unsigned stream) const;  // nothing will be added to its ring
  void ReadOn();                      // an attachment has moved on: there may be room
  const std::vector<Attached*>& attached() const { return attached_; }
  void Attach(Attached* attached, bool input);
  void Detach(Attached* attached);

  // --- input, for the connection that holds it
  bool InputTaken() const { return input_holder_ != nullptr; }
  // Errors: kProtocol for data beyond credit, or on a stream without input.
  base::Status Input(unsigned stream, std::string_view data);
  base::Status EndInput(unsigned stream);
  void GrantAll();  // to a new holder

 private:
  // A descriptor of ours with one or two streams on it.
  struct Channel {
    base::UniqueFd fd;
    base::Watch watch;
    std::optional<unsigned> input;
    std::optional<unsigned> output;
    // input
    std::string pending;        // granted, arrived, not taken by the program yet
    size_t pending_at = 0;      // of it, already written
    size_t credit = 0;          // granted, not arrived
    bool input_ending = false;  // end of file once `pending` is written
    bool input_closed = false;  // by us, or the program takes no more
    // output
    std::unique_ptr<OutputRing> ring;
    bool readable = false;
    bool hung_up = false;
    bool enlarged = false;
    bool ended = false;
    std::optional<size_t> left;  // after the exit: how much more belongs to the program
  };

  Process(base::EventLoop& loop, Exec exec, ExecPlan plan, int null_fd)
      : loop_(loop), exec_(std::move(exec)), plan_(std::move(plan)), null_fd_(null_fd) {}

  base::Status Open(std::vector<base::UniqueFd>& theirs);
  base::Status OpenPipes(std::vector<base::UniqueFd>& theirs);
  base::Status OpenTerminal(std::vector<base::UniqueFd>& theirs);
  Outcome<void> BeginSpawn(std::optional<std::chrono::milliseconds> patience);
  void OnSpawned();
  void GiveUp(std::chrono::milliseconds patience);
  void AddChannel(std::optional<unsigned> input, std::optional<unsigned> output);
  base::Status WatchChannels();
  void OnEvents(Channel& channel, uint32_t events);
  void Read(Channel& channel);
  bool ReadOnce(Channel& channel);  // false: nothing more to be had now
  uint64_t KeepFrom(const Channel& channel) const;
  void SaveFrames(const Channel& channel, size_t room);
  void EndOutput(Channel& channel);
  void WriteInput(Channel& channel);
  void CloseInput(Channel& channel);
  void Grant(Channel& channel);
  Channel* FindInput(unsigned stream);
  void Wake();

  base::EventLoop& loop_;
  const Exec exec_;
  ExecPlan plan_;  // until the start
  const int null_fd_;
  WindowSize size_;  // with a pty
  std::vector<std::unique_ptr<Channel>> channels_;
  size_t open_outputs_ = 0;
  pid_t pid_ = 0;
  bool start_asked_ = false;
  bool started_ = false;  // the program runs, or ran
  Done done_;             // while that is not known
  std::unique_ptr<Spawn> spawn_;
  base::Watch spawn_watch_;
  base::Timer patience_;
  bool abandoned_ = false;
  std::optional<Exited> exited_;
  std::vector<Attached*> attached_;
  Attached* input_holder_ = nullptr;
};

}  // namespace msb::agent
