// A directory of the test's own, and the transfers and requests on it through the whole protocol.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/agent/guest/testing.h"

namespace msb::agent {

class FilesTest : public ServerTest {
 protected:
  using ServerTest::ServerTest;
  void SetUp() override {
    Configure();
    top = testing::TempDir() + "files_" + base::RandomHex(4);
    ASSERT_EQ(::mkdir(top.c_str(), 0755), 0);
  }
  void TearDown() override {
    const auto parent = base::OpenFile(testing::TempDir(), O_RDONLY | O_DIRECTORY);
    (void)base::RemoveTreeAt(parent->get(), top.substr(top.rfind('/') + 1));
  }
  void Make(const std::string& name, std::string_view content) {
    const auto fd = base::OpenFile(top + name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(base::WriteFull(fd->get(), content).has_value());
  }

  struct Moved {
    std::string data;
    std::vector<std::string> names;
    std::vector<DirectoryEntry> entries;
    std::vector<std::string> skipped;
    std::optional<Unpacked> unpacked;
    std::optional<FileStatus> opened;
    std::optional<FileStatus> done;
    std::optional<Failure> failed;
    bool over() const { return done || failed; }
  };
  FileTransfer::Callbacks Into(Moved& moved) {
    return {
        .on_opened = [&](const FileStatus& status) { moved.opened = status; },
        .on_data = [&](std::string_view data) { moved.data += data; },
        .on_entries =
            [&](std::span<const DirectoryEntry> entries) {
              for (const auto& entry : entries) {
                moved.names.push_back(entry.name.data);
                moved.entries.push_back(entry);
              }
            },
        .on_skipped = [&](const Skipped& skipped) { moved.skipped.push_back(skipped.path.data); },
        .on_writable = {},
        .on_unpacked = [&](const Unpacked& unpacked) { moved.unpacked = unpacked; },
        .on_done = [&](const FileStatus& status) { moved.done = status; },
        .on_failed = [&](const Failure& failure) { moved.failed = failure; }};
  }
  Moved Read(const ReadFile& request) {
    Moved moved;
    auto transfer = FileTransfer::Read(*loop, Connect(), request, Into(moved)).value();
    EXPECT_TRUE(RunUntil([&] { return moved.over(); }));
    return moved;
  }
  Moved Write(const WriteFile& request, std::string_view data) {
    return Give(data, [&](FileTransfer::Callbacks callbacks) {
      return FileTransfer::Write(*loop, Connect(), request, std::move(callbacks)).value();
    });
  }
  Moved PackTree(const Pack& request) {
    Moved moved;
    auto transfer = FileTransfer::PackTree(*loop, Connect(), request, Into(moved)).value();
    EXPECT_TRUE(RunUntil([&] { return moved.over(); }));
    return moved;
  }
  Moved UnpackTree(const Unpack& request, std::string_view tar) {
    return Give(tar, [&](FileTransfer::Callbacks callbacks) {
      return FileTransfer::UnpackTree(*loop, Connect(), request, std::move(callbacks)).value();
    });
  }
  template <typename Start>
  Moved Give(std::string_view data, Start start) {
    Moved moved;
    std::unique_ptr<FileTransfer> transfer;
    const auto go_on = [&] {
      data.remove_prefix(transfer->Put(data));
      if (data.empty()) transfer->Finish();
    };
    auto callbacks = Into(moved);
    callbacks.on_writable = go_on;
    transfer = start(std::move(callbacks));
    go_on();
    EXPECT_TRUE(RunUntil([&] { return moved.over(); }));
    return moved;
  }
  Moved List(const std::string& path, uint32_t depth = 1) {
    Moved moved;
    auto transfer =
        FileTransfer::List(*loop, Connect(), {.path = path, .depth = depth}, Into(moved)).value();
    EXPECT_TRUE(RunUntil([&] { return moved.over(); }));
    std::ranges::sort(moved.names);
    return moved;
  }

  // Sends one plain request: its failure, if it has one.
  template <typename Send>
  std::optional<FailureCode> Ask(Send send) {
    std::optional<Answer<void>> answer;
    send([&](Answer<void> got) { answer = std::move(got); });
    EXPECT_TRUE(RunUntil([&] { return answer.has_value(); }));
    if (*answer) return std::nullopt;
    last_message = answer->error().message.data;
    return answer->error().code;
  }
  struct stat Status(const std::string& name) {
    struct stat status = {};
    EXPECT_EQ(::lstat((top + name).c_str(), &status), 0) << name;
    return status;
  }
  bool Exists(const std::string& name) {
    struct stat status;
    return ::lstat((top + name).c_str(), &status) == 0;
  }
  std::string Content(const std::string& name) {
    return base::ReadFile(top + name, 1 << 28).value_or("(unreadable)");
  }

  std::string top;
  std::string last_message;
};

}  // namespace msb::agent
