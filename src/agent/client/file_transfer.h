// FileTransfer: one file read from, or written to, the guest, one directory listed, or a tree as a
// tar out of it or into it; a stream of its own each.
//
// Owned by its user; single thread, on its event loop. A callback may destroy it; destroying it
// ends the transfer (a file half written stays so). Exactly one of on_done and on_failed is called,
// last. Bounded as an Attachment is. Names in a listing are the guest's: relative, no deeper than
// was asked for, none of their components empty, "." or "..", or with NUL, since others end the
// transfer with kProtocol. What is in a tar is not looked at here.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "src/agent/protocol.h"
#include "src/base/event_loop.h"
#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace msb::agent {

class FileTransfer {
 public:
  struct Callbacks {
    std::function<void(const FileStatus&)> on_opened;                 // Read, Pack
    std::function<void(std::string_view)> on_data;                    // Read, Pack
    std::function<void(std::span<const DirectoryEntry>)> on_entries;  // List
    std::function<void(const Skipped&)> on_skipped;                   // List, Pack
    std::function<void()> on_writable;                 // Write, Unpack: Writable() was 0
    std::function<void(const Unpacked&)> on_unpacked;  // Unpack, before on_done
    // Required, as is on_failed. Read, Pack: the status at opening; Write: the status at the end;
    // List, Unpack: empty.
    std::function<void(const FileStatus&)> on_done;
    std::function<void(const Failure&)> on_failed;
  };

  static base::Result<std::unique_ptr<FileTransfer>> Read(base::EventLoop& loop,
                                                          base::UniqueFd stream,
                                                          const ReadFile& read,
                                                          Callbacks callbacks);
  static base::Result<std::unique_ptr<FileTransfer>> Write(base::EventLoop& loop,
                                                           base::UniqueFd stream,
                                                           const WriteFile& write,
                                                           Callbacks callbacks);
  static base::Result<std::unique_ptr<FileTransfer>> List(base::EventLoop& loop,
                                                          base::UniqueFd stream,
                                                          const ListDirectory& list,
                                                          Callbacks callbacks);
  static base::Result<std::unique_ptr<FileTransfer>> PackTree(base::EventLoop& loop,
                                                              base::UniqueFd stream,
                                                              const Pack& pack,
                                                              Callbacks callbacks);
  static base::Result<std::unique_ptr<FileTransfer>> UnpackTree(base::EventLoop& loop,
                                                                base::UniqueFd stream,
                                                                const Unpack& unpack,
                                                                Callbacks callbacks);
  ~FileTransfer();
  FileTransfer(const FileTransfer&) = delete;

  // Write, Unpack: takes what there is credit for, returns how much that was.
  size_t Writable() const;
  size_t Put(std::string_view data);
  void Finish();  // all data was given; on_done follows

  void Pause();  // Read, List, Pack: no on_data, on_entries, on_done until Resume
  void Resume();

 private:
  class Impl;
  static base::Result<std::unique_ptr<FileTransfer>> Begin(base::UniqueFd stream,
                                                           std::shared_ptr<Impl> impl,
                                                           Request request);
  explicit FileTransfer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace msb::agent
