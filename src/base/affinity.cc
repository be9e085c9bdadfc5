#include "src/base/affinity.h"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <optional>

namespace msb::base {
namespace {

// What the kernel takes and gives: one bit a CPU, in longs.
using Mask = std::vector<unsigned long>;
constexpr size_t kBitsPerWord = 8 * sizeof(unsigned long);

cpu_set_t* Pointer(Mask& mask) { return reinterpret_cast<cpu_set_t*>(mask.data()); }
size_t Bytes(const Mask& mask) { return mask.size() * sizeof mask[0]; }

std::optional<int> ParseNumber(std::string_view text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

// The part of `text` before `separator`, which is removed with it; all of it without one.
std::string_view CutAt(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return head;
}

// "N", "N-M" or "N-M:S".
Status AddRange(std::string_view part, std::vector<bool>& chosen) {
  const auto wrong = [part](std::string_view why) {
    return Fail(ErrorCode::kInvalid, "\"{}\" {}", part, why);
  };
  const bool is_range = part.find('-') != std::string_view::npos;
  const bool has_stride = part.find(':') != std::string_view::npos;
  std::string_view rest = part;
  std::string_view range = CutAt(rest, ':');
  const auto stride = has_stride ? ParseNumber(rest) : 1;
  const auto first = ParseNumber(CutAt(range, '-'));
  const auto last = is_range ? ParseNumber(range) : first;
  if (!first || !last || !stride || (has_stride && !is_range)) {
    return wrong("is neither a CPU's number nor a range of them (0,2-3)");
  }
  if (*last < *first) return wrong("is a range that ends before it begins");
  if (*last >= kMaxCpus) return wrong(fmt::format("is too high: CPUs are below {}", kMaxCpus));
  if (*stride == 0) return wrong("has a stride of 0");
  for (int cpu = *first; cpu <= *last; cpu += std::min(*stride, kMaxCpus)) {
    chosen[static_cast<size_t>(cpu)] = true;
  }
  return {};
}

}  // namespace

Result<CpuList> AllowedCpus() {
  // The kernel refuses a mask that is shorter than its own, whose length it does not tell.
  Mask mask(1024 / kBitsPerWord);
  while (::sched_getaffinity(0, Bytes(mask), Pointer(mask)) < 0) {
    if (errno != EINVAL || mask.size() * kBitsPerWord > kMaxCpus) {
      return FailErrno("cannot ask for the CPUs that may be used");
    }
    mask.resize(2 * mask.size());
  }
  CpuList cpus;
  for (size_t word = 0; word < mask.size(); ++word) {
    for (unsigned long bits = mask[word]; bits != 0; bits &= bits - 1) {
      cpus.push_back(static_cast<int>(word * kBitsPerWord) + std::countr_zero(bits));
    }
  }
  return cpus;
}

Status SetAllowedCpus(pid_t thread, const CpuList& cpus) {
  Mask mask(kMaxCpus / kBitsPerWord);
  for (const int cpu : cpus) {
    if (cpu < 0 || cpu >= kMaxCpus) return Fail(ErrorCode::kInvalid, "there is no CPU {}", cpu);
    mask[static_cast<size_t>(cpu) / kBitsPerWord] |= 1UL
                                                     << (static_cast<size_t>(cpu) % kBitsPerWord);
  }
  if (::sched_setaffinity(thread, Bytes(mask), Pointer(mask)) < 0) {
    return FailErrno("cannot run on CPU {}", FormatCpuList(cpus));
  }
  return {};
}

Status CheckUsable(const CpuList& cpus) {
  // Only the kernel knows what a cpuset allows, and says so by what it leaves of an affinity.
  const CpuList before = TRY(AllowedCpus());
  const Status set = SetAllowedCpus(0, cpus);
  const CpuList left = set ? TRY(AllowedCpus()) : CpuList();
  (void)SetAllowedCpus(0, before);
  CpuList refused;
  std::set_difference(cpus.begin(), cpus.end(), left.begin(), left.end(),
                      std::back_inserter(refused));
  if (refused.empty()) return {};
  return Fail(ErrorCode::kDenied, "CPU {} cannot be used here (now allowed: {})",
              FormatCpuList(refused), FormatCpuList(before));
}

Result<CpuList> ParseCpuList(std::string_view text) {
  std::vector<bool> chosen(kMaxCpus);
  std::string_view rest = text;
  do {
    const bool more = rest.find(',') != std::string_view::npos;
    TRY(AddRange(CutAt(rest, ','), chosen).WithContext("CPU list"));
    if (more && rest.empty()) return Fail(ErrorCode::kInvalid, "CPU list ends with a comma");
  } while (!rest.empty());
  CpuList cpus;
  for (size_t cpu = 0; cpu < chosen.size(); ++cpu) {
    if (chosen[cpu]) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

std::string FormatCpuList(const CpuList& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += fmt::format("{}", cpus[i]);
    if (last > i) text += fmt::format("-{}", cpus[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace msb::base
