// Engine: the Service of real sandboxes. What it does with sandboxes themselves is here, the rest
// in engine_run.cc, engine_process.cc and engine_files.cc.
//
// Owned by the server; one thread.
#pragma once

#include <memory>
#include <string>

#include "src/server/file_stream.h"
#include "src/server/sandboxes.h"
#include "src/server/service.h"

namespace msb::server {

class Engine : public Service {
 public:
  static base::Result<std::unique_ptr<Engine>> Open(Loop& loop, std::string home,
                                                    const std::string& directory);

  Reply<std::string> Start(Call call, api::StartParams params) override;
  Reply<std::string> Stop(Call call, api::StopParams params) override;
  Reply<std::string> Remove(Call call, api::SandboxRef params) override;
  Reply<api::ListResult> List(Call call, api::ListParams params) override;
  Reply<api::TimeoutResult> SetTimeout(Call call, api::TimeoutParams params) override;
  Reply<api::LogsResult> Logs(Call call, api::LogsParams params) override;
  Reply<api::MetricsResult> Metrics(Call call, api::MetricsParams params) override;

  Reply<api::ReplResult> RunCode(Call call, api::ReplParams params) override;
  Reply<api::CommandResult> RunCommand(Call call, api::CommandParams params) override;

  Reply<api::ContextInfo> CreateContext(Call call, api::ContextCreateParams params) override;
  Reply<api::ContextList> ListContexts(Call call, api::SandboxRef params) override;
  Reply<api::ContextInfo> InterruptContext(Call call, api::ContextParams params) override;
  Reply<api::ContextInfo> RestartContext(Call call, api::ContextParams params) override;
  Reply<api::Empty> RemoveContext(Call call, api::ContextParams params) override;

  Reply<api::ProcessStarted> StartProcess(Call call, api::ProcessStartParams params) override;
  Reply<api::ProcessEnd> AttachProcess(Call call, api::ProcessAttachParams params) override;
  Reply<api::ProcessEnd> WaitProcess(Call call, api::ProcessWaitParams params) override;
  Reply<api::Empty> WriteProcess(Call call, api::ProcessWriteParams params) override;
  Reply<api::Empty> SignalProcess(Call call, api::ProcessSignalParams params) override;
  Reply<api::Empty> ResizeProcess(Call call, api::ProcessResizeParams params) override;
  Reply<api::ProcessList> ListProcesses(Call call, api::SandboxRef params) override;

  Reply<api::FileContent> ReadFile(Call call, api::FileParams params) override;
  Reply<api::FileInfo> WriteFile(Call call, api::FileWriteParams params) override;
  Reply<api::FileInfo> StatFile(Call call, api::FileParams params) override;
  Reply<api::FileList> ListFiles(Call call, api::FileListParams params) override;
  Reply<api::FileInfo> MakeDirectory(Call call, api::FileMkdirParams params) override;
  Reply<api::FileInfo> MoveFile(Call call, api::FileMoveParams params) override;
  Reply<api::Empty> RemoveFile(Call call, api::FileRemoveParams params) override;
  Reply<api::Empty> WatchFiles(Call call, api::FileWatchParams params) override;

  // --- files of any size, in pieces
  struct OpenedFile {
    Instance::Use use;
    agent::ReadFile request;
    agent::FileStatus status;
    std::unique_ptr<FileReading> reading = {};
    base::Status Begin(uint64_t offset, std::optional<uint64_t> length);
  };
  Async<base::Result<OpenedFile>> OpenFile(Call call, api::FileParams params);

  // One that is new is written under another name, and appears when it is whole; one that is there
  // is overwritten.
  struct NewFile {
    Instance::Use use;
    std::string path;
    std::string user;
    std::string written_as;
    std::unique_ptr<FileWriting> writing;
  };
  Async<base::Result<NewFile>> CreateFile(Call call, api::FileWriteParams params);
  Async<base::Result<api::FileInfo>> FinishFile(NewFile file, Call call);
  Async<void> AbandonFile(NewFile file);

  Sandboxes& sandboxes() { return *sandboxes_; }

 private:
  explicit Engine(Loop& loop) : loop_(loop) {}

  // The sandbox, if the caller may use it and it runs.
  Async<base::Result<Instance::Use>> Use(const Call& call, std::string name_space,
                                         std::string sandbox);
  base::Result<Language> LanguageAndContext(const std::string& language,
                                            const std::string& context) const;
  static std::string UserOf(const Instance& instance, const std::optional<std::string>& user);
  Async<base::Status> MakeParents(Instance& instance, std::string path, std::string user);
  Async<base::Result<api::FileInfo>> InfoOf(Instance& instance, std::string path, std::string user);

  Loop& loop_;
  std::unique_ptr<Sandboxes> sandboxes_;
};

// kInvalid for a name that is none, kDenied for a namespace that is not the caller's.
base::Result<SandboxKey> CheckKey(const Call& call, const std::string& name_space,
                                  const std::string& sandbox);

}  // namespace msb::server
