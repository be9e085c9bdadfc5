#include "src/agent/guest/failure.h"

namespace msb::agent {

Failure FileFailure(const base::Error& error) {
  FailureCode code = FailureCode::kSystem;
  switch (error.code()) {
    case base::ErrorCode::kNotFound:
      code = FailureCode::kNotFound;
      break;
    case base::ErrorCode::kDenied:
      code = FailureCode::kDenied;
      break;
    case base::ErrorCode::kNoSpace:
      code = FailureCode::kNoSpace;
      break;
    case base::ErrorCode::kLimit:
      code = FailureCode::kLimit;
      break;
    case base::ErrorCode::kInvalid:
      code = FailureCode::kInvalid;
      break;
    case base::ErrorCode::kExists:
      code = FailureCode::kExists;
      break;
    case base::ErrorCode::kBusy:
      code = FailureCode::kBusy;
      break;
    case base::ErrorCode::kUnsupported:
      code = FailureCode::kUnsupported;
      break;
    default:
      break;
  }
  switch (error.sys_errno()) {
    case EEXIST:
      code = FailureCode::kExists;
      break;
    case ENOTEMPTY:
      code = FailureCode::kNotEmpty;
      break;
    case ENOTDIR:
    case EISDIR:
    case ENXIO:  // a FIFO that nobody reads
    case ELOOP:
      code = FailureCode::kWrongKind;
      break;
    default:
      break;
  }
  return Failure{code, base::Bytes(error.message())};
}

}  // namespace msb::agent
