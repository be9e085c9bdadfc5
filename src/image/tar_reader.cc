#include "src/image/tar_reader.h"

#include <algorithm>

#include "src/base/bytes.h"
#include "src/image/layer_index.h"

namespace msb::image {
namespace {

using base::ErrorCode;
using base::Fail;

constexpr uint64_t kMaxExtension = 1 << 20;
constexpr uint64_t kMaxGnuName = 64 * 1024;
constexpr int kMaxExtensionsInARow = 16;
constexpr size_t kMaxSegments = 1'000'000;

uint64_t PaddingOf(uint64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

base::Error MemberError(ErrorCode code, std::string_view name, std::string_view what) {
  return Fail(code, "entry '{}': {}", base::EscapeForTerminal(name.substr(0, 200)), what);
}

std::optional<MemberKind> KindOf(char type) {
  switch (type) {
    case '\0':
    case '0':
    case '7':  // contiguous
    case 'S':  // GNU sparse
      return MemberKind::kFile;
    case '1':
      return MemberKind::kHardLink;
    case '2':
      return MemberKind::kSymlink;
    case '3':
      return MemberKind::kCharDevice;
    case '4':
      return MemberKind::kBlockDevice;
    case '5':
      return MemberKind::kDirectory;
    case '6':
      return MemberKind::kFifo;
    default:
      return std::nullopt;
  }
}

base::Result<uint32_t> Id(std::string_view name, std::string_view what, int64_t value) {
  // The largest 32-bit number means "no id" to the kernel.
  if (value < 0 || value > 0xfffffffe) {
    return MemberError(ErrorCode::kInvalid, name,
                       fmt::format("{} {} is out of range", what, value));
  }
  return static_cast<uint32_t>(value);
}

// Pairs to segments: ordered, within the file, and as long together as the data that is stored.
base::Result<std::vector<SparseSegment>> Segments(std::string_view name,
                                                  const std::vector<uint64_t>& numbers,
                                                  uint64_t file_size, uint64_t stored) {
  const auto bad = [&] { return MemberError(ErrorCode::kCorrupt, name, "bad sparse map"); };
  if (numbers.size() % 2 != 0) return bad();
  std::vector<SparseSegment> segments;
  uint64_t end = 0;
  uint64_t total = 0;
  for (size_t i = 0; i < numbers.size(); i += 2) {
    const uint64_t offset = numbers[i];
    const uint64_t length = numbers[i + 1];
    if (length == 0) continue;
    if (offset < end || offset > file_size || length > file_size - offset) return bad();
    end = offset + length;
    total += length;
    segments.push_back({offset, length});
  }
  if (total != stored) return bad();
  if (segments.size() > kMaxSegments) {
    return MemberError(ErrorCode::kLimit, name, "sparse map with too many holes");
  }
  return segments;
}

}  // namespace

base::Result<std::optional<TarMember>> TarReader::Next() {
  TRY(stream_.Skip(data_left_));
  // Writers that do not close their archive leave out the padding of the last entry.
  if (padding_left_ > 0 && !TRY(stream_.AtEnd())) TRY(stream_.Skip(padding_left_));
  data_left_ = padding_left_ = 0;
  Overrides overrides;
  for (int extensions = 0;; ++extensions) {
    if (!TRY(ReadHeader())) {
      if (extensions > 0) {
        return Fail(ErrorCode::kCorrupt, "the tar ends after an extended header");
      }
      return std::optional<TarMember>();
    }
    if (extensions > kMaxExtensionsInARow) {
      return Fail(ErrorCode::kLimit, "too many extended headers before one entry");
    }
    const TarHeader header(block_);
    const auto size = header.Size();
    if (!size || *size < 0) {
      return MemberError(ErrorCode::kCorrupt, header.Name(), "bad size");
    }
    if (TRY(TakeExtension(header, static_cast<uint64_t>(*size), overrides))) continue;
    return std::optional<TarMember>(TRY(Build(header, std::move(overrides))));
  }
}

base::Result<std::string_view> TarReader::Data(uint64_t max) {
  if (data_left_ == 0) return std::string_view();
  const std::string_view piece = TRY(stream_.ReadSome(std::min(max, data_left_)));
  data_left_ -= piece.size();
  return piece;
}

base::Result<bool> TarReader::ReadHeader() {
  if (!TRY(stream_.ReadRecord(block_))) return false;
  const TarHeader header(block_);
  if (header.IsZero()) {
    if (!TRY(stream_.ReadRecord(block_)) || header.IsZero()) return false;
    return Fail(ErrorCode::kCorrupt, "a single block of zeroes within the tar");
  }
  if (!header.ChecksumMatches()) {
    return stream_.position() == kTarBlock ? Fail(ErrorCode::kCorrupt, "not a tar archive")
                                           : Fail(ErrorCode::kCorrupt, "bad tar header at byte {}",
                                                  stream_.position() - kTarBlock);
  }
  return true;
}

base::Result<std::string> TarReader::ReadExtension(uint64_t size, uint64_t limit) {
  if (size > limit) {
    return Fail(ErrorCode::kLimit, "an extended header of {} bytes (limit {})", size, limit);
  }
  std::string data;
  while (data.size() < size) data += TRY(stream_.ReadSome(size - data.size()));
  TRY(stream_.Skip(PaddingOf(size)));
  return data;
}

base::Result<bool> TarReader::TakeExtension(const TarHeader& header, uint64_t size,
                                            Overrides& out) {
  const auto name = [&]() -> base::Result<std::string> {
    std::string text = TRY(ReadExtension(size, kMaxGnuName));
    text.resize(text.find_last_not_of('\0') + 1);  // npos + 1: all of it is NUL
    if (text.find('\0') == std::string::npos) return text;
    return MemberError(ErrorCode::kCorrupt, text, "a name with NUL");
  };
  switch (header.type()) {
    case 'x':
    case 'X':  // Sun
      TRY(ParsePax(TRY(ReadExtension(size, kMaxExtension)), out.pax));
      return true;
    case 'g':
      TRY(ReadGlobal(size));
      return true;
    case 'L':
      out.gnu_name = TRY(name());
      return true;
    case 'K':
      out.gnu_link = TRY(name());
      return true;
    case 'V':  // a volume's label
      TRY(stream_.Skip(size));
      TRY(stream_.Skip(PaddingOf(size)));
      return true;
    default:
      return false;
  }
}

base::Status TarReader::ReadGlobal(uint64_t size) {
  TRY(ParsePax(TRY(ReadExtension(size, kMaxExtension)), global_));
  if (global_.path || global_.link_path || global_.size || global_.sparse ||
      !global_.xattrs.empty()) {
    return Fail(
        ErrorCode::kUnsupported,
        "a global extended header that gives every entry the same name, size or attributes");
  }
  return {};
}

base::Result<TarMember> TarReader::Build(const TarHeader& header, Overrides overrides) {
  PaxRecords& pax = overrides.pax;
  TarMember member;
  member.name = pax.sparse_name      ? *std::move(pax.sparse_name)
                : pax.path           ? *std::move(pax.path)
                : overrides.gnu_name ? *std::move(overrides.gnu_name)
                                     : header.Name();
  member.link = pax.link_path        ? *std::move(pax.link_path)
                : overrides.gnu_link ? *std::move(overrides.gnu_link)
                                     : header.LinkName();
  const auto kind = KindOf(header.type());
  if (!kind) {
    return MemberError(ErrorCode::kUnsupported, member.name,
                       fmt::format("tar entry of unknown type '{}'",
                                   base::EscapeForTerminal(std::string(1, header.type()))));
  }
  member.kind = *kind;
  if (*kind == MemberKind::kFile && member.name.ends_with('/')) {
    member.kind = MemberKind::kDirectory;  // how tars older than POSIX say it
  }
  TRY(FillMetadata(header, pax, member));
  if (member.kind != MemberKind::kFile) return member;
  data_left_ = pax.size.value_or(static_cast<uint64_t>(*header.Size()));
  if (data_left_ > kMaxFileSize) {
    return MemberError(ErrorCode::kLimit, member.name, "larger than 8 TiB");
  }
  padding_left_ = PaddingOf(data_left_);
  member.size = data_left_;
  if (pax.sparse || header.type() == 'S') TRY(FillSparse(header, pax, member));
  if (!member.sparse) return member;
  if (member.size > kMaxFileSize) {
    return MemberError(ErrorCode::kLimit, member.name, "larger than 8 TiB");
  }
  return member;
}

base::Status TarReader::FillMetadata(const TarHeader& header, const PaxRecords& pax,
                                     TarMember& member) {
  const auto mode = header.Mode();
  const auto header_uid = header.Uid();
  const auto header_gid = header.Gid();
  const auto header_mtime = header.Mtime();
  const auto uid = pax.uid ? pax.uid : global_.uid ? global_.uid : header_uid;
  const auto gid = pax.gid ? pax.gid : global_.gid ? global_.gid : header_gid;
  const auto mtime = pax.mtime ? pax.mtime : global_.mtime;
  if (!mode || !uid || !gid || (!mtime && !header_mtime)) {
    return MemberError(ErrorCode::kCorrupt, member.name, "bad number in the header");
  }
  member.mode = static_cast<uint16_t>(*mode & 07777);
  member.uid = TRY(Id(member.name, "uid", *uid));
  member.gid = TRY(Id(member.name, "gid", *gid));
  member.mtime = mtime ? *mtime : TarTime{*header_mtime, 0};
  member.xattrs = pax.xattrs;
  if (member.kind != MemberKind::kCharDevice && member.kind != MemberKind::kBlockDevice) return {};
  const auto major = header.DeviceMajor();
  const auto minor = header.DeviceMinor();
  // 12 and 20 bits is what Linux has.
  if (!major || !minor || *major < 0 || *minor < 0 || *major > 0xfff || *minor > 0xfffff) {
    return MemberError(ErrorCode::kCorrupt, member.name, "bad device number");
  }
  member.device_major = static_cast<uint32_t>(*major);
  member.device_minor = static_cast<uint32_t>(*minor);
  return {};
}

base::Status TarReader::FillSparse(const TarHeader& header, const PaxRecords& pax,
                                   TarMember& member) {
  std::vector<uint64_t> numbers;
  if (header.type() == 'S') {
    const auto real_size = header.Number(483, 12);
    if (!real_size || *real_size < 0) {
      return MemberError(ErrorCode::kCorrupt, member.name, "bad sparse size");
    }
    member.size = static_cast<uint64_t>(*real_size);
    numbers = TRY(ReadOldSparse(header));
  } else if (pax.sparse_major == 1 && pax.sparse_minor.value_or(0) == 0) {
    if (!pax.sparse_size) return MemberError(ErrorCode::kCorrupt, member.name, "no sparse size");
    member.size = *pax.sparse_size;
    numbers = TRY(ReadSparseMap().WithContext(base::EscapeForTerminal(member.name)));
  } else if (pax.sparse_major.value_or(0) == 0) {
    if (!pax.sparse_size) return {};  // an ordinary file with a stray record
    member.size = *pax.sparse_size;
    numbers = pax.sparse_numbers;
  } else {
    return MemberError(ErrorCode::kUnsupported, member.name, "unknown version of sparse format");
  }
  member.sparse = TRY(Segments(member.name, numbers, member.size, data_left_));
  return {};
}

// Four pairs in the header, then blocks of 21 as long as the flag after them says.
base::Result<std::vector<uint64_t>> TarReader::ReadOldSparse(const TarHeader& header) {
  std::vector<uint64_t> numbers;
  const auto take = [&](const TarHeader& from, size_t at, size_t pairs) -> base::Status {
    for (size_t i = 0; i < pairs * 2; ++i) {
      const auto number = from.Number(at + i * 12, 12);
      if (!number || *number < 0) return Fail(ErrorCode::kCorrupt, "bad sparse map");
      numbers.push_back(static_cast<uint64_t>(*number));
    }
    if (numbers.size() > 2 * kMaxSegments) return Fail(ErrorCode::kLimit, "sparse map too long");
    return {};
  };
  TRY(take(header, 386, 4));
  bool more = header.Flag(482);
  while (more) {
    if (!TRY(stream_.ReadRecord(block_))) return Fail(ErrorCode::kCorrupt, "the tar is cut short");
    const TarHeader extension(block_);
    TRY(take(extension, 0, 21));
    more = extension.Flag(504);
  }
  return numbers;
}

// Version 1.0: decimal numbers, a line each, before the data: how many pairs, then the pairs;
// padded to a block.
base::Result<std::vector<uint64_t>> TarReader::ReadSparseMap() {
  std::vector<uint64_t> numbers;
  std::optional<uint64_t> expected;
  std::string line;
  uint64_t used = 0;
  while (!expected || numbers.size() < *expected * 2) {
    const std::string_view byte = TRY(Data(1));
    if (byte.empty()) return Fail(ErrorCode::kCorrupt, "bad sparse map");
    ++used;
    if (byte[0] != '\n') {
      line += byte[0];
      if (line.size() > 20) return Fail(ErrorCode::kCorrupt, "bad sparse map");
      continue;
    }
    const auto number = ParseDecimal(line);
    if (!number) return Fail(ErrorCode::kCorrupt, "bad sparse map");
    line.clear();
    if (expected) {
      numbers.push_back(*number);
    } else if (*number > kMaxSegments) {
      return Fail(ErrorCode::kLimit, "sparse map with too many holes");
    } else {
      expected = *number;
    }
  }
  uint64_t padding = PaddingOf(used);
  if (padding > data_left_) return Fail(ErrorCode::kCorrupt, "bad sparse map");
  TRY(stream_.Skip(padding));
  data_left_ -= padding;
  return numbers;
}

}  // namespace msb::image
