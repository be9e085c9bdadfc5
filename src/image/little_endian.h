// Unaligned little-endian numbers in byte buffers, as our index and EROFS store them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace msb::image {

static_assert(std::endian::native == std::endian::little, "the formats are the host's byte order");

template <typename T>
T LoadLittle(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline uint16_t Load16(const char* at) { return LoadLittle<uint16_t>(at); }
inline uint32_t Load32(const char* at) { return LoadLittle<uint32_t>(at); }
inline uint64_t Load64(const char* at) { return LoadLittle<uint64_t>(at); }

inline void Store16(char* at, uint16_t value) { std::memcpy(at, &value, sizeof value); }
inline void Store32(char* at, uint32_t value) { std::memcpy(at, &value, sizeof value); }
inline void Store64(char* at, uint64_t value) { std::memcpy(at, &value, sizeof value); }

}  // namespace msb::image
