// How msb-image and the jailed msb-convert speak: arguments, descriptor numbers, and on failure one
// JSON object on the report pipe. On success nothing is reported: the outputs say everything.
//
//   msb-convert layer MAX_TAR_BYTES      reads kLayerSource, writes kLayerBlob and kLayerIndex
//   msb-convert merge UUID COUNT         reads COUNT indexes from kMergeFirstIndex on, writes
//                                        kMergeMetadata
#pragma once

#include <boost/describe.hpp>

#include <cstddef>
#include <string>

#include "src/base/result.h"

namespace msb::image {

inline constexpr int kReportFd = 3;
inline constexpr int kLayerSource = 4;
inline constexpr int kLayerBlob = 5;
inline constexpr int kLayerIndex = 6;
inline constexpr int kMergeMetadata = 4;
inline constexpr int kMergeFirstIndex = 5;

inline constexpr size_t kMaxReport = 4000;  // fits a pipe, so that writing it never waits

// The report comes from a process that has read hostile bytes: the message is bounded and escaped
// before anybody sees it.
struct ConvertFailure {
  uint32_t code = 0;  // base::ErrorCode
  std::string message;
};
BOOST_DESCRIBE_STRUCT(ConvertFailure, (), (code, message))

std::string EncodeFailure(const base::Error& error);
base::Error DecodeFailure(const std::string& report);

}  // namespace msb::image
