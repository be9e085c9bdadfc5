#include "src/sandbox/program_log.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "src/sandbox/testing.h"

namespace msb::sandbox {
namespace {

class ProgramLogTest : public HomeTest {
 protected:
  void SetUp() override {
    HomeTest::SetUp();
    directory_ = *base::OpenFile(home_, O_RDONLY | O_DIRECTORY);
  }

  std::string ReadNew(LogReader& reader) {
    std::string text;
    EXPECT_TRUE(reader.ReadNew(
        [&](const LogEntry& entry, std::string_view) {
          if (entry.lost) text += fmt::format("[lost {}]", *entry.lost);
          text += entry.text.data;
        },
        [&] { text += "[gap]"; }));
    return text;
  }
  off_t SizeOf(const char* name) {
    struct stat status;
    return ::fstatat(directory_.get(), name, &status, 0) == 0 ? status.st_size : -1;
  }

  base::UniqueFd directory_;
};

TEST_F(ProgramLogTest, KeepsBytesStreamsAndOrder) {
  ProgramLog log = *ProgramLog::Create(directory_.get());
  log.Append(LogStream::kStdout, "out\n");
  log.Append(LogStream::kStderr, std::string_view("\xff\0\x1b[31m", 7));
  std::vector<LogEntry> entries;
  LogReader reader(directory_.get());
  ASSERT_TRUE(reader.ReadNew(
      [&](const LogEntry& entry, std::string_view) { entries.push_back(entry); }, [] {}));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].text.data, "out\n");
  EXPECT_EQ(entries[0].stream, LogStream::kStdout);
  EXPECT_EQ(entries[1].text.data, std::string("\xff\0\x1b[31m", 7));
  EXPECT_EQ(entries[1].stream, LogStream::kStderr);
  EXPECT_EQ(entries[0].time.size(), std::string("2026-01-31T23:59:59.123456Z").size());
  EXPECT_LE(entries[0].time, entries[1].time);
}

TEST_F(ProgramLogTest, AReaderGoesOnWhereItWas) {
  ProgramLog log = *ProgramLog::Create(directory_.get());
  LogReader reader(directory_.get());
  log.Append(LogStream::kStdout, "one");
  EXPECT_EQ(ReadNew(reader), "one");
  EXPECT_EQ(ReadNew(reader), "");
  log.Append(LogStream::kStdout, "two");
  EXPECT_EQ(ReadNew(reader), "two");
}

TEST_F(ProgramLogTest, LongOutputIsCutAtTheEndOfALine) {
  ProgramLog log = *ProgramLog::Create(directory_.get());
  const std::string first = std::string(10'000, 'a') + "\n", second(10'000, 'b');
  log.Append(LogStream::kStdout, first + second);
  std::vector<std::string> texts;
  LogReader reader(directory_.get());
  ASSERT_TRUE(reader.ReadNew(
      [&](const LogEntry& entry, std::string_view) { texts.push_back(entry.text.data); }, [] {}));
  EXPECT_EQ(texts, (std::vector<std::string>{first, second}));
}

TEST_F(ProgramLogTest, IsBoundedAndAReaderThatFollowsMissesNothing) {
  ProgramLog log = *ProgramLog::Create(directory_.get());
  LogReader reader(directory_.get());
  const std::string line = std::string(kMaxLogText - 1, 'x') + "\n";
  size_t read = 0, written = 0;
  for (uint64_t bytes = 0; bytes < 3 * kMaxLogBytes; bytes += line.size()) {
    log.Append(LogStream::kStdout, line);
    written += line.size();
    if (written / line.size() % 100 == 0) read += ReadNew(reader).size();
    ASSERT_LE(SizeOf(kLogFile), static_cast<off_t>(kMaxLogBytes));
  }
  read += ReadNew(reader).size();
  EXPECT_EQ(read, written);
  EXPECT_LE(SizeOf(kOldLogFile), static_cast<off_t>(kMaxLogBytes));
  EXPECT_GT(SizeOf(kOldLogFile), 0);
}

TEST_F(ProgramLogTest, AReaderThatFellBehindSaysThatSomethingMayBeMissing) {
  ProgramLog log = *ProgramLog::Create(directory_.get());
  LogReader reader(directory_.get());
  log.Append(LogStream::kStdout, "begin ");
  EXPECT_EQ(ReadNew(reader), "begin ");
  const std::string line(kMaxLogText, 'x');
  for (uint64_t bytes = 0; bytes < 4 * kMaxLogBytes; bytes += line.size()) {
    log.Append(LogStream::kStdout, line);
  }
  log.Append(LogStream::kStdout, "end");
  const std::string rest = ReadNew(reader);
  EXPECT_NE(rest.find("[gap]"), std::string::npos);
  EXPECT_TRUE(rest.ends_with("end"));
}

TEST_F(ProgramLogTest, WithoutRoomTheOutputIsLostAndCountedAndTheNextLineIsWhole) {
  rlimit limit;
  ::getrlimit(RLIMIT_FSIZE, &limit);
  ::signal(SIGXFSZ, SIG_IGN);
  ProgramLog log = *ProgramLog::Create(directory_.get());
  log.Append(LogStream::kStdout, "before ");
  const rlimit small = {static_cast<rlim_t>(SizeOf(kLogFile) + 20), limit.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);  // what comes now is cut in its middle
  log.Append(LogStream::kStdout, "never seen ");
  log.Append(LogStream::kStdout, "nor this ");
  ::setrlimit(RLIMIT_FSIZE, &limit);
  log.Append(LogStream::kStdout, "after");
  LogReader reader(directory_.get());
  EXPECT_EQ(ReadNew(reader), "before [lost 20]after");
}

}  // namespace
}  // namespace msb::sandbox
